"""`rspnet bench`: the plain route beside ours, in one run."""
