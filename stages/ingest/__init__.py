"""Sources of pools: an existing webdataset, a folder of images, a list of URLs. One reader of tars serves all three."""
