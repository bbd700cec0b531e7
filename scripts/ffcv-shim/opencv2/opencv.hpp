// Debian's umbrella header includes every OpenCV module, also those that are not installed; ffcv needs these two only.
#pragma once
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
