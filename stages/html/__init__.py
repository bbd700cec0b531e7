"""From the bytes of an HTML page to texts and images in reading order."""
