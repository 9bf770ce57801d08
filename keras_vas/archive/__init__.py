"""Many videos on many machines, by Ray Data.

`sources` lists videos and sentences, `engine` gives their spans to actors
(`worker`), which write the rows of `table`; `folder` makes one file of a video
when all its spans are there, and `report` a page of the best moments.
"""
