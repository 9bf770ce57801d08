"""Records of videos with masks and sentences."""

import functools

from keras_vas.data.records import schema, source_files, video_frames
from keras_vas.data.records.shard import Conversion
from keras_vas.data.records.source_files import SourceError
from keras_vas.data.video_sets import own
from keras_vas.data.video_sets.masks import CocoMasks, ImageMasks
from keras_vas.errors import UserError
from keras_vas.video.image_file import read_image
from keras_vas.video.reader import image_files

NOTHING = "nothing"  # the actor of a sentence about what is not there

WITHOUT_SENTENCE = "video without a sentence"
WITHOUT_OBJECT = "sentence that names no object"
REPEATED_SENTENCE = own.REPEATED_SENTENCE
WITHOUT_MASKS = "video without masks"
NOT_IN_FRAME = "sample whose object is not in the frame"
UNREADABLE_MASK = "mask that cannot be read"
UNREADABLE_IMAGE = "image that cannot be read"
MASK_OF_OTHER_SIZE = "mask of another size than its frame"
IMAGE_OF_OTHER_SIZE = "image of another size than the others of its video"
MISSING_VIDEO = own.MISSING_VIDEO
UNDECODABLE_VIDEO = "video that cannot be decoded"
MASK_OF_NO_FRAME = own.MASK_OF_NO_FRAME
DAMAGE = frozenset(
    {
        WITHOUT_MASKS,
        UNREADABLE_MASK,
        UNREADABLE_IMAGE,
        MASK_OF_OTHER_SIZE,
        IMAGE_OF_OTHER_SIZE,
        MISSING_VIDEO,
        UNDECODABLE_VIDEO,
        MASK_OF_NO_FRAME,
        own.UNSAFE_NAME,
    }
)


def convert(video_id, split, *, dataset, videos, most):
    """Converts a video of `listed.read_split`.

    Args:
        video_id: its name.
        split: "train" or "test".
        dataset: name of the data set.
        videos: dict from name to `SetVideo`.
        most: annotated frames to take, evenly spaced; 0 for all.

    Returns:
        `records.Conversion`.
    """
    video = videos[video_id]
    annotated = [i + 1 for i in video.annotated()]
    numbers = chosen(annotated, most)
    read = functools.lru_cache(maxsize=2 * schema.CLIP_LENGTH)(
        lambda number: _read(video.frames[number - 1], video_id)
    )
    return _conversion(
        video_id,
        split,
        dataset,
        video.sentences,
        {n: functools.partial(video.truth, n - 1) for n in numbers},
        read,
        len(video.frames),
    )


def convert_own(video_id, split, *, dataset, source, sentences, most):
    """Converts a video of `own`.

    Args:
        video_id: its name.
        split: "train" or "test".
        dataset: name of the data set.
        source: `pathlib.Path` of it.
        sentences: dict from name to a tuple of `Sentence`.
        most: annotated frames to take, evenly spaced; 0 for all.

    Returns:
        `records.Conversion`.
    """
    path = own.source_of(source, video_id)
    if path is None:
        return Conversion([], [(MISSING_VIDEO, video_id)])
    names = None
    if path.is_dir():
        images = image_files(path)
        names = {image.stem: n for n, image in enumerate(images, 1)}
    try:
        masks, numbered, strange = own_masks(source, video_id, names)
    except UserError as error:
        return Conversion([], [(UNREADABLE_MASK, f"{video_id}: {error}")])
    excluded = [(MASK_OF_NO_FRAME, f"{video_id}/{x}") for x in strange]
    numbered = {n: numbered[n] for n in chosen(sorted(numbered), most)}
    if names is not None:
        total = len(images)
        read = functools.lru_cache(maxsize=2 * schema.CLIP_LENGTH)(
            lambda number: _read(images[number - 1], video_id)
        )
    else:
        decoded, size, total = (
            video_frames.decode(path, numbered) if numbered else ({}, None, 0)
        )
        if numbered and not total:
            return Conversion([], [*excluded, (UNDECODABLE_VIDEO, video_id)])

        def read(number):
            return decoded[number], size

    excluded += [
        (MASK_OF_NO_FRAME, f"{video_id}/{name}")
        for n, name in numbered.items()
        if n > total
    ]
    found = _conversion(
        video_id,
        split,
        dataset,
        sentences[video_id],
        {
            n: functools.partial(masks.read, n - 1, name)
            for n, name in numbered.items()
            if n <= total
        },
        read,
        total,
    )
    return Conversion(found.frames, [*excluded, *found.excluded])


def own_masks(source, video, names):
    """The masks of one of anybody's own videos.

    Args:
        source: `pathlib.Path` of the data set.
        video: its name.
        names: dict from a frame's name to its number, or `None` where the
            numbers are the names.

    Returns:
        (what has `read(index, frame name)`, dict from a frame's number to
        its name, list of the names of files that belong to no frame).

    Raises:
        UserError: the file of run lengths cannot be read.
    """
    path = source / "masks" / f"{video}.json"
    if path.exists():
        masks = CocoMasks(path)
        return masks, {n: str(n) for n in masks.numbers()}, []
    numbered, strange = {}, []
    for image in sorted((source / "masks" / video).glob("*.png")):
        number = (
            source_files.frame_number(image)
            if names is None
            else names.get(image.stem)
        )
        if number is None or number in numbered:
            strange.append(image.name)
        else:
            numbered[number] = image.stem
    return (
        ImageMasks(source / "masks" / video, painted=True),
        numbered,
        strange,
    )


def chosen(numbers, most):
    """At most so many of some numbers, evenly spaced; 0 for all."""
    return video_frames.evenly_spaced(numbers, most) if most else numbers


def _read(path, video_id):
    """(JPEG bytes, size) of an image file."""
    try:
        image = read_image(path)
    except UserError as error:
        raise SourceError(
            UNREADABLE_IMAGE, f"{video_id}/{path.name}: {error}"
        ) from error
    return schema.encode_jpeg(image), image.shape[:2]


def _conversion(video_id, split, dataset, sentences, truths, read, total):
    """`Conversion` of some annotated frames of a video.

    `truths` is a dict from a frame's number to what gives its `Truth`, `read`
    gives the (JPEG bytes, size) of a frame by its number, and `total` is the
    number of frames in the video.
    """
    usable, excluded = _usable(video_id, sentences)
    if not truths:
        excluded.append((WITHOUT_MASKS, video_id))
    frames = []
    for number, give in truths.items() if usable else ():
        item = f"{video_id}/{number:05d}"
        try:
            numbers = schema.clip_frame_numbers(number, total)
            images = [read(n) for n in numbers]
            size = images[schema.TARGET_INDEX][1]
            if any(other != size for _, other in images):
                raise SourceError(IMAGE_OF_OTHER_SIZE, item)
            truth = _truth(give, item)
            if any(mask.shape != size for mask in truth.masks.values()):
                raise SourceError(MASK_OF_OTHER_SIZE, item)
        except SourceError as error:
            excluded.append(error.args)
            continue
        actors, queries, absent = _actors(truth, size, usable)
        excluded += [(NOT_IN_FRAME, f"{item}: {text}") for text in absent]
        if queries:
            frames.append(
                schema.AnnotatedFrame(
                    dataset=dataset,
                    video_id=video_id,
                    subset=split,
                    frame_number=number,
                    clip=[data for data, _ in images],
                    clip_frame_numbers=numbers,
                    height=size[0],
                    width=size[1],
                    actors=tuple(actors),
                    queries=tuple(queries),
                )
            )
    return Conversion(frames, excluded)


def _usable(video_id, sentences):
    """The sentences whose objects are known, each once."""
    usable, excluded = {}, []
    for sentence in sentences:
        item = f"{video_id}: {sentence.text}"
        key = sentence.text, sentence.objects
        if sentence.objects is None:
            excluded.append((WITHOUT_OBJECT, item))
        elif key in usable:
            excluded.append((REPEATED_SENTENCE, item))
        else:
            usable[key] = sentence
    if not sentences:
        excluded.append((WITHOUT_SENTENCE, video_id))
    return list(usable.values()), excluded


def _truth(give, item):
    try:
        return give()
    except UserError as error:
        raise SourceError(UNREADABLE_MASK, f"{item}: {error}") from error


def _actors(truth, size, sentences):
    """(actors, queries, texts about what is not in the frame)."""
    masks = {name: mask for name, mask in truth.masks.items() if mask.any()}
    queries, absent = [], []
    for sentence in sentences:
        name = "+".join(sentence.objects) or NOTHING
        mask = truth.meant(sentence, size)
        if mask.any() == bool(sentence.objects):
            masks.setdefault(name, mask)
            queries.append(schema.Query(sentence.text, list(masks).index(name)))
        else:
            absent.append(sentence.text)
    actors = [schema.Actor(name, mask) for name, mask in masks.items()]
    return actors, queries, absent
