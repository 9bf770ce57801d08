"""Trained models by name: what was trained ships, frozen backbones are fetched.

```
python -m keras_vas.presets list
```

A preset is a small file (see `preset_file`). Where it is used it is unfolded
once into a run directory in the cache, so that whatever takes a run takes it.
So are the files that `addresses` downloads.
"""

from keras_vas.presets.registry import PRESETS as PRESETS
from keras_vas.presets.registry import local as local
from keras_vas.presets.registry import run_of as run_of
