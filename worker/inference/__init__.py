"""From a gray picture to chroma: devices, backends, batches, the models that are served."""
