"""Where models live and run."""
