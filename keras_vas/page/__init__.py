"""The web page of `keras_vas.app`: visitors, their files, what they see."""
