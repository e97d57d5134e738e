"""What the sliders of the notebooks show: one module for each notebook's panels."""
