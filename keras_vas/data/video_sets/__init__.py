"""Data sets of videos on disk: whose frames, sentences and masks, where.

`listed` reads Refer-YouTube-VOS, Ref-DAVIS17 and MeViS, `own` what anybody has
collected. Both give `video.SetVideo`s, of which records are made and on which
models are evaluated.
"""
