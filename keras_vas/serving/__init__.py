"""The REST protocol of TensorFlow Serving: a local server and its parts."""
