"""`rspnet study`: a declared grid of pre-trainings, evaluations and seeds, run row by row and summed up."""
