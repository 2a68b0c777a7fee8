"""Images beside the images that they should be."""
