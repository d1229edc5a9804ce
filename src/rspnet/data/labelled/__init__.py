"""Labelled data sets in the layouts their makers publish them in: one small file a layout, `read_labelled` for all."""
