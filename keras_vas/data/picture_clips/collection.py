"""Pictures in the roles that they can play in a clip."""

import functools

from keras_vas.data.picture_clips import coco, said, whole
from keras_vas.errors import UserError

KINDS = ("cutouts", "stills", "sentences")


class Collection:
    """Pictures in the roles that they can play.

    Args:
        source: folder in COCO's format, see `coco.read`.

    Attributes:
        pictures: list of `coco.Picture`, all.
        backgrounds: those of which every object is outlined.
        stills: those of `backgrounds` that have objects.
        said: list of `said.Said`, pictures with sentences by people.
        left_out: list of (reason, item), sentences that cannot be used.
    """

    def __init__(self, source):
        self.source = source
        self.pictures = coco.read(source)
        self.backgrounds = [p for p in self.pictures if p.whole]
        self.stills = [p for p in self.backgrounds if p.instances]
        self.said, self.left_out = said.read(source, self.pictures)
        self._things = {}
        for picture in self.pictures:
            for instance in picture.instances:
                if whole.may_be_whole(picture, instance):
                    self._things.setdefault(instance.category, []).append(
                        (picture, instance)
                    )
        self.categories = sorted(
            x for x, things in self._things.items() if any(map(_whole, things))
        )
        if not any(self.count(kind) for kind in KINDS):
            raise UserError(self.lack("stills" if self._things else "cutouts"))

    def count(self, kind):
        """How many pictures a kind of clip can begin with."""
        return len(
            {
                "cutouts": self.backgrounds if self.categories else (),
                "stills": self.stills if self.categories else (),
                "sentences": self.said,
            }[kind]
        )

    def lack(self, kind):
        """What the source lacks for a kind of clip, one line."""
        wanted = {
            "cutouts": "outlined object that is whole and large beside a "
            "picture of which every object is outlined",
            "stills": "picture of which every object is outlined by polygons",
            "sentences": "sentence about one object of a complete picture",
        }[kind]
        return f"{self.source} has no {wanted}; give --source more of COCO"

    def thing(self, rng, category):
        """(picture, instance) by lot; each whole one as likely as another."""
        things = self._things[category]
        order = map(int, rng.permutation(len(things)))
        return next(things[i] for i in order if _whole(things[i]))


def _whole(thing):
    picture, instance = thing
    return any(x is instance for x in whole.whole_instances(picture))


@functools.lru_cache(maxsize=1)
def collect(source):
    """The `Collection` of a folder, read once."""
    return Collection(source)
