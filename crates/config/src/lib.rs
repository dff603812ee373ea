//! A file into the model: typed walk, cross references, every problem at once; the watch over the file; the live value.
