"""A library of one's own videos: index them once, then search by motion, by appearance, or between the two.

`rspnet.Library` opens a store and searches it; `rspnet index` fills one. Needs the extra `rspnet[search]`.
"""
