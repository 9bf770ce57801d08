"""Which objects of a picture can be cut out."""

import cv2
import numpy as np

# Categories that COCO outlines in pieces, or with what lies on them.
_IN_PIECES = frozenset(
    ("dining table", "couch", "bed", "bench", "chair", "book", "fork", "knife",
     "spoon", "toothbrush", "tie", "skis", "baseball bat", "sink", "oven",
     "hair drier", "scissors", "remote", "bowl", "broccoli", "carrot")
)  # fmt: skip
_LEAST_AREA = 0.008  # of the picture
_LEAST_CORNERS = 10
_MARGIN = 2  # pixels from the picture's edge
_MOST_CUT = 0.1  # of a whole instance's height and width may lie at the edge
_MAIN_PART = 0.9  # of a whole instance's area in its largest piece


def may_be_whole(picture, instance):
    """Whether an instance can be one of `whole_instances`, found quickly."""
    area = sum(
        abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
        for x, y in (polygon.T for polygon in instance.polygons)
    )
    return (
        instance.category not in _IN_PIECES
        and max(map(len, instance.polygons)) >= _LEAST_CORNERS
        # A mask holds the pixels along its outline, too.
        and area >= 0.5 * _LEAST_AREA * picture.height * picture.width
    )


def whole_instances(picture):
    """The instances that can be cut out: large, in one piece, not cut off.

    Args:
        picture: `Picture`.

    Returns:
        List of `Instance`.
    """
    size = picture.height, picture.width
    masks = [instance.mask(*size) for instance in picture.instances]
    covered = np.sum(masks, axis=0) if masks else None
    return [
        instance
        for instance, mask in zip(picture.instances, masks, strict=True)
        if instance.category not in _IN_PIECES
        and _is_whole(instance, mask, covered)
    ]


def _is_whole(instance, mask, covered):
    height, width = mask.shape
    area = mask.sum()
    if area < _LEAST_AREA * height * width:
        return False
    if max(len(polygon) for polygon in instance.polygons) < _LEAST_CORNERS:
        return False
    edges = (mask[:_MARGIN], mask[-_MARGIN:], mask.T[:_MARGIN])
    edges = (*edges, mask.T[-_MARGIN:])
    cut = sum(int(edge.any(axis=0).sum()) for edge in edges)
    extent = int(mask.any(axis=0).sum() + mask.any(axis=1).sum())
    if cut > _MOST_CUT * extent:
        return False
    _, _, pieces, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = pieces[1:, cv2.CC_STAT_AREA].max()
    # What another instance shares with it may be in front of it.
    alone = (covered[mask] == 1).mean()
    return largest >= _MAIN_PART * area and alone > 0.85
