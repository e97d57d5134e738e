"""helpers.inference: any size, the same result twice, and one sentence for weights that fail."""

import json
import shutil
import tracemalloc

import keras
import numpy as np
import pytest
import safetensors.numpy

from helpers import env
from helpers.haze import add_haze, resize
from helpers.images import load_image
from helpers.inference import apply_maps, dehaze, haze_maps, in_tiles
from helpers.models import physics_unet, unet
from helpers.weights import WeightsError, digest, find_weights, load_generator, save_generator

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def generator():
    """A network whose weights and batch statistics are those of no beginner."""
    keras.utils.set_random_seed(0)
    network = unet(4)
    for v in network.variables:
        if "moving_variance" in v.path or "gamma" in v.path:
            v.assign(RNG.uniform(0.5, 1.5, v.shape))
        elif "seed" not in v.path:
            v.assign(v + RNG.normal(0, 0.05, v.shape))
    return network


@pytest.fixture(scope="module")
def physics():
    """A small network with a physics head that no longer leaves its input as it is."""
    keras.utils.set_random_seed(0)
    network = physics_unet(**SMALL)
    kernel, bias = network.get_layer("maps").weights
    kernel.assign(RNG.normal(0, 0.05, kernel.shape))
    bias.assign([0.5, 0.4, 0.3, 0.3, 0.2, 0.1])
    return network


SMALL = {"filters": [4, 4, 4, 4, 4, 4], "blocks": [0, 0, 1, 0, 0, 1]}
BOTH = pytest.mark.parametrize("kind", ["generator", "physics"])


def picture(*shape):
    return RNG.random((*shape, 3)).astype("float32")


@pytest.mark.parametrize(
    "shape", [(32, 32), (33, 47), (1, 1), (1, 300), (256, 256), (257, 255), (300, 200), (320, 480),
              (31, 900), (1100, 37), (513, 255)],
    ids=str,
)
@BOTH
def test_dehaze_keeps_shape_and_range(request, kind, shape):
    result = dehaze(request.getfixturevalue(kind), picture(*shape))
    assert result.shape == (*shape, 3) and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (257, 300), (320, 200)], ids=str)
def test_tiles_are_padded_and_cut_at_the_same_place(shape):
    """A generator that changes nothing gives back the image, pixel for pixel."""
    image, sizes = picture(*shape), []

    def unchanged(x, training):
        assert training is False
        sizes.append(x.shape[1:3])
        return x

    assert np.allclose(in_tiles(unchanged, image), image, atol=1e-6)
    assert all(side % 256 == 0 for side in sizes[0])


def test_tiles_continue_the_image_by_reflection():
    image = picture(300, 260)
    seen = []
    in_tiles(lambda x, training: seen.append(x) or x, image)
    first = (seen[0][0] + 1) / 2  # the upper left tile; the picture begins 32 pixels inside
    assert np.allclose(first[32:, 32:], image[:224, :224], atol=1e-6)
    assert np.allclose(first[31, 32:], image[0, :224], atol=1e-6)
    assert np.allclose(first[30, 32:], image[1, :224], atol=1e-6)
    assert np.allclose(first[32:, 30], image[:224, 1], atol=1e-6)


def test_tiles_blend_without_a_border():
    """Tiles that differ in brightness: no step between neighbours beyond the blending's own."""
    count = iter(range(1000))

    def uneven(x, training):
        return np.stack([np.full_like(tile, 0.1 * (next(count) % 2)) for tile in x])

    out = in_tiles(uneven, picture(600, 700)).mean(axis=-1)
    assert np.abs(np.diff(out, axis=0)).max() < 0.003
    assert np.abs(np.diff(out, axis=1)).max() < 0.003


def test_tiles_are_clipped():
    assert in_tiles(lambda x, training: x * 0 + 3, picture(8, 8)).max() == 1


@BOTH
def test_dehaze_of_float64_and_float32_agree(request, kind):
    generator, image = request.getfixturevalue(kind), picture(40, 40)
    double = dehaze(generator, image.astype("float64"))
    assert np.array_equal(dehaze(generator, image), double) and double.dtype == np.float32


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 4), (0, 8, 3), (1, 8, 8, 3)], ids=str)
def test_dehaze_refuses_what_is_no_rgb_image(physics, shape):
    with pytest.raises(ValueError, match="no RGB image") as error:
        dehaze(physics, np.zeros(shape, "float32"))
    assert str(shape) in str(error.value)


@BOTH
def test_strength(request, kind):
    """0 is the input to the bit; beyond, all goes along one line until it is clipped."""
    generator, image = request.getfixturevalue(kind), picture(48, 80) * 0.4 + 0.3
    none, half, full, beyond = (dehaze(generator, image, s) for s in (0, 0.5, 1, 1.2))
    assert np.array_equal(none, image) and none is not image
    assert np.array_equal(full, dehaze(generator, image))
    assert np.abs(full - image).max() > 0.05, "or nothing is tested"
    free = (full > 0) & (full < 1)
    assert free.mean() > 0.1
    assert np.allclose(half[free], (image + 0.5 * (full - image))[free], atol=1e-6)
    expected = np.clip(image + 1.2 * (full - image), 0, 1)
    assert np.allclose(beyond[free], expected[free], atol=1e-6)


@BOTH
def test_inference_repeats_and_changes_nothing(request, kind):
    """No dropout, and the moving statistics stay: unlike with training=True."""
    generator = request.getfixturevalue(kind)
    before = [np.array(v) for v in generator.variables]
    image = picture(100, 120)
    one = dehaze(generator, image)
    dehaze(generator, picture(64, 64))
    assert np.array_equal(one, dehaze(generator, image))
    assert all(map(np.array_equal, before, [np.array(v) for v in generator.variables]))


# Borders of tiles.


def borders(length, size=256, stride=128, margin=32):
    """Where tiles begin and end, as the docstring of in_tiles has it."""
    last = length + 2 * margin - size
    first = np.linspace(0, last, int(np.ceil(last / stride)) + 1).round().astype(int) - margin
    return [b for b in (*first, *(first + size)) if 0 < b < length]


def steps_at(rows, columns, change):
    """Mean gradient across the given rows and columns, in proportion to that elsewhere."""
    there, elsewhere = [], []
    for axis, places in enumerate((rows, columns)):
        gradient = np.abs(np.diff(change, axis=axis)).mean(axis=(1 - axis, 2))
        there += list(gradient[np.array(places, int) - 1])
        elsewhere += list(np.delete(gradient, np.array(places, int) - 1))
    return np.mean(there) / np.mean(elsewhere)


@pytest.mark.parametrize("scene", ["china", "golden-temple"])
def test_no_border_shows_in_a_photograph(scene):
    """By the shipped network; what it changes has no step where a tile ends."""
    generator = load_generator(env.SAMPLE_DATA / "weights" / "pix2pix" / "generator.safetensors")
    image = load_image(env.SAMPLE_DATA / "real" / "hazy" / f"{scene}.jpg")[:440, :600]
    change = in_tiles(generator, image) - image
    assert steps_at(borders(440), borders(600), change) < 1.05
    # The measure is no idle one: two tiles laid side by side do show.
    halves = [image[:256, x:x + 256] for x in (0, 256)]
    apart = [generator(half[None] * 2 - 1)[0].numpy() / 2 + 0.5 - half for half in halves]
    assert steps_at([], [256], np.concatenate(apart, axis=1)) > 1.2


# Maps of a physics head.


def stub(*shape, k=(0.5, 0.4, 0.3), b=(0.3, 0.2, 0.1)):
    """Maps that are the same everywhere."""
    return np.broadcast_to(np.array([*k, *b], "float32"), (*shape, 6))


@pytest.mark.parametrize("airlight", [0.85, (0.9, 0.8, 0.7)], ids=["grey", "coloured"])
@pytest.mark.parametrize("t", [0.3, 0.6, 1.0])
def test_apply_maps_inverts_the_scattering_model(airlight, t):
    """With K = 1/t - 1 and B = A·K the haze that add_haze laid over the picture is gone."""
    clear, k = picture(40, 50), 1 / t - 1
    hazy = add_haze(clear, np.full((40, 50), t), airlight)
    maps = stub(20, 25, k=(k, k, k), b=np.broadcast_to(airlight, 3) * k)
    assert np.allclose(apply_maps(hazy, maps), clear, atol=5e-6)


def test_apply_maps_follows_an_edge_of_the_picture():
    """Haze that ends at the roof's edge, from maps of an eighth of the size, without a halo."""
    clear = np.full((128, 128, 3), 0.8, "float32")
    clear[53:] = [0.2, 0.3, 0.1]
    t = np.where(np.arange(128)[:, None] < 53, 0.4, 0.9) * np.ones((1, 128))
    hazy = add_haze(clear, t, 0.8)
    k = 1 / t - 1
    small = [resize(m, (16, 16)) for m in (k, k, k, 0.8 * k, 0.8 * k, 0.8 * k)]
    plain = [resize(m, (128, 128))[..., None] for m in small]
    beside = np.r_[40:52, 54:66]
    error = np.abs(apply_maps(hazy, np.stack(small, -1)) - clear)[beside].mean()
    halo = np.abs(hazy + plain[0] * hazy - plain[3] - clear)[beside].mean()
    assert error < 0.015 and error < halo / 3


@pytest.mark.parametrize("shape", [(64, 48), (47, 33), (1, 9)], ids=str)
def test_even_maps_stay_even(shape):
    """However the picture looks, the same K and B reach every pixel."""
    image = picture(*shape) * 0.5 + 0.2
    expected = image + image * [0.2, 0.1, 0.3] - [0.1, 0.05, 0.15]
    maps = stub(*(-(-n // 2) for n in shape), k=(0.2, 0.1, 0.3), b=(0.1, 0.05, 0.15))
    assert np.allclose(apply_maps(image, maps), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 64, 130, 500])
def test_strips_do_not_matter(rows):
    image, maps = picture(131, 90), RNG.normal(0, 0.2, (33, 23, 6)).astype("float32")
    whole = apply_maps(image, maps, 1.0, rows=10_000)
    assert np.allclose(apply_maps(image, maps, 1.0, rows=rows), whole, atol=1e-5)


@pytest.mark.parametrize("height", [49, 1000, 1537, 3001])
@pytest.mark.parametrize("small", [11, 157, 256])
def test_strips_end_inside_the_maps(height, small):
    """Whatever rounding does to the last strip's lower edge."""
    image, maps = np.full((height, 3, 3), 0.5, "float32"), stub(small, 2)
    assert np.isfinite(apply_maps(image, maps, rows=100)).all()


def test_a_large_image_needs_little_memory():
    image, maps = picture(1500, 2000), stub(192, 256)
    tracemalloc.start()
    apply_maps(image, maps, rows=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * image.nbytes, "the result, and less than as much again"


@pytest.mark.parametrize(
    "shape, expected", [((64, 64), (32, 32)), ((33, 47), (17, 24)), ((31, 900), (9, 256)),
                        ((2000, 37), (256, 4)), ((1, 1), (1, 1)), ((1024, 768), (256, 192))],
    ids=str,
)
def test_haze_maps_are_half_of_a_small_copy(physics, shape, expected):
    maps = haze_maps(physics, picture(*shape))
    assert maps.dtype == np.float32 and maps.shape[2] == 6
    assert np.abs(np.subtract(maps.shape[:2], expected)).max() <= 1


@pytest.mark.parametrize("shape", [(64, 128), (33, 47), (37, 100), (700, 511), (63, 65)], ids=str)
def test_maps_lie_where_they_belong(shape):
    """A «network» whose K is the grey of its input: maps of a ramp are the same ramp, all over."""
    image = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(6, 2, strides=2, use_bias=False, name="maps")
    deep = image
    for _ in range(4):  # with the layer above: five levels, multiples of 32 pixels
        deep = keras.layers.Conv2D(1, 2, strides=2)(deep)
    network = keras.Model(image, [layer(image), deep])
    layer.kernel.assign(np.full(layer.kernel.shape, 1 / 12))
    height, width = shape
    ramp = np.linspace(0.1, 0.5, height)[:, None] + np.linspace(0, 0.4, width)
    maps = haze_maps(network, np.repeat(ramp[..., None], 3, -1).astype("float32"))
    y, x = ((np.arange(n) + 0.5) / n for n in maps.shape[:2])  # places, 0 to 1 over the picture
    y, x = (np.clip((p * n - 0.5) / (n - 1), 0, 1) for p, n in ((y, height), (x, width)))
    expected = 2 * (0.1 + 0.4 * y[:, None] + 0.4 * x) - 1
    assert np.allclose(maps[1:-1, 1:-1, 0], expected[1:-1, 1:-1], atol=4e-3)


@pytest.mark.parametrize("levels", [1, 3, 6, 7])
def test_any_number_of_levels_gets_its_multiple(levels):
    network = physics_unet((4,) * levels, (0,) * levels)
    assert haze_maps(network, picture(50, 70)).shape == (25, 35, 6)
    image = picture(33, 47)
    assert np.allclose(dehaze(network, image), image, atol=1e-6), "a new network changes nothing"


def test_dehaze_agrees_with_the_network_itself(physics):
    """Where K and B hardly vary, the enlargement of the head and ours are the same."""
    calm = keras.models.clone_model(physics)
    calm.set_weights(physics.get_weights())
    kernel = calm.get_layer("maps").weights[0]
    kernel.assign(kernel * 0)
    image = picture(128, 192) * 0.5 + 0.4
    itself = calm(image[None] * 2 - 1)[0].numpy() / 2 + 0.5
    assert np.allclose(dehaze(calm, image), np.clip(itself, 0, 1), atol=1e-5)


# Weights.


@pytest.fixture(scope="module")
def saved(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "generator.safetensors"
    save_generator(generator, path, "tiny", network="unet", width=4, skips=True)
    return path


def test_round_trip_within_half_precision(generator, saved):
    again = load_generator(saved)
    for old, new in zip(generator.variables, again.variables, strict=True):
        if "seed" not in old.path:
            # Half precision keeps 11 bits; below 6e-5 its steps are 6e-8.
            assert np.allclose(old, new, rtol=2**-11, atol=6e-8), old.path
    image = picture(64, 64)
    assert np.abs(dehaze(again, image) - dehaze(generator, image)).max() < 0.01
    assert not again.trainable_variables[0].dtype.startswith("float16")


def test_round_trip_in_float32_is_exact(generator, tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(generator, path, "tiny", "float32", network="unet", width=4)
    image = picture(64, 64)
    assert np.array_equal(dehaze(load_generator(path), image), dehaze(generator, image))


def test_half_precision_halves_the_file(generator, saved, tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(generator, path, "tiny", "float32", network="unet", width=4)
    ratio = saved.stat().st_size / path.stat().st_size
    assert 0.45 < ratio < 0.6
    assert not list(saved.parent.glob("*.part"))


@pytest.mark.parametrize(
    "build, architecture",
    [(unet, {"width": 8, "skips": False}), (unet, {"width": 4, "levels": 4}),
     (physics_unet, SMALL), (physics_unet, {"filters": (4, 8, 8), "blocks": (0, 1, 0)})],
    ids=["cut", "shallow", "physics", "three-levels"],
)
def test_the_file_says_what_to_build(tmp_path, build, architecture):
    network, path = build(**architecture), tmp_path / "g.safetensors"
    save_generator(network, path, "tiny", network=build.__name__, **architecture)
    again = load_generator(path)
    assert [v.shape for v in again.variables] == [v.shape for v in network.variables]


def test_a_physics_network_comes_back(physics, tmp_path):
    path, image = tmp_path / "g.safetensors", picture(33, 47)
    save_generator(physics, path, "improved", "float32", network="physics_unet", **SMALL)
    assert np.array_equal(dehaze(load_generator(path), image), dehaze(physics, image))


def test_the_digest_is_that_of_values_types_and_shapes():
    one = [np.arange(6, dtype="float32"), np.ones(2, "float16")]
    assert digest(one) == digest([a.copy() for a in one]) and len(digest(one)) == 64
    others = [one[::-1], one[:1], [one[0].reshape(2, 3), one[1]], [one[0].view("int32"), one[1]],
              [one[0] + [0, 0, 0, 0, 0, 1e-6], one[1]]]
    assert len({digest(arrays) for arrays in [one, *others]}) == 6


def test_the_shipped_weights_load():
    for path in sorted((env.SAMPLE_DATA / "weights").glob("*/generator.safetensors")):
        load_generator(path)


def metadata_of(path):
    """The description in the header of a safetensors file, read without the library."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8:8 + length])["__metadata__"], length


def rewrite(path, source, change=lambda tensors: tensors, sign=True, **metadata):
    """The weights again, some of their tensors or of their description changed."""
    tensors = change(safetensors.numpy.load_file(source))
    texts = metadata_of(source)[0]
    if sign:
        texts["sha256"] = json.dumps(digest([tensors[k] for k in sorted(tensors)]))
    texts |= metadata
    texts = {k: v for k, v in texts.items() if v is not None}
    safetensors.numpy.save_file(tensors, path, texts)


def cut(path, source, count=100):
    path.write_bytes(source.read_bytes()[:-count])


def flip(path, source, place):
    content = bytearray(source.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def network(**architecture):
    """A change of the description alone."""
    return lambda p, s: rewrite(p, s, architecture=json.dumps(architecture))


def foreign(**metadata):
    return lambda p, s: safetensors.numpy.save_file({"w": np.zeros(3, "float32")}, p, metadata)


FOREIGN = "not a generator of this project"
BAD = {
    "missing": (lambda p, s: None, "no such file; run notebook 03 first"),
    "folder": (lambda p, s: p.mkdir(), FOREIGN),
    "empty": (lambda p, s: p.write_bytes(b""), FOREIGN),
    "truncated": (cut, FOREIGN),
    "truncated-to-its-header": (lambda p, s: p.write_bytes(s.read_bytes()[:50]), FOREIGN),
    "prolonged": (lambda p, s: p.write_bytes(s.read_bytes() + b"0000"), FOREIGN),
    "text": (lambda p, s: p.write_text("hello\nthere"), FOREIGN),
    "zeros": (lambda p, s: p.write_bytes(bytes(1000)), FOREIGN),
    "last-byte-flipped": (lambda p, s: flip(p, s, -1), "damaged, its SHA-256"),
    "middle-byte-flipped": (lambda p, s: flip(p, s, s.stat().st_size // 2), "damaged, its SHA-256"),
    "first-byte-flipped": (lambda p, s: flip(p, s, 8 + metadata_of(s)[1]), "damaged, its SHA-256"),
    "foreign": (foreign(), FOREIGN),
    "foreign-metadata": (foreign(format="pt"), FOREIGN),
    "foreign-json": (foreign(format='{"a": 1}'), "format {'a': 1}"),
    "before-formats": (foreign(architecture='{"width": 4}'), FOREIGN),
    "format-of-tomorrow": (lambda p, s: rewrite(p, s, format="3"),
                           f"format 3, made with Keras {keras.__version__}; update this code"),
    "format-and-no-more": (foreign(format="2"), "damaged, its SHA-256"),
    "unsigned": (lambda p, s: rewrite(p, s, sha256=None), "damaged, its SHA-256"),
    "architecture-not-json": (lambda p, s: rewrite(p, s, architecture="U-Net"), FOREIGN),
    "architecture-missing": (lambda p, s: rewrite(p, s, architecture=None), "cannot be built"),
    "architecture-a-list": (lambda p, s: rewrite(p, s, architecture="[4]"), "cannot be built"),
    "architecture-a-text": (lambda p, s: rewrite(p, s, architecture='"U-Net"'), "cannot be built"),
    "architecture-null": (lambda p, s: rewrite(p, s, architecture="null"), "cannot be built"),
    "no-network": (network(width=4), "cannot be built"),
    "unknown-network": (network(network="transformer"), "cannot be built"),
    "network-a-list": (network(network=["unet"]), "cannot be built"),
    "unknown-argument": (network(network="unet", depth=3), "cannot be built"),
    "negative-width": (network(network="unet", width=-4), "cannot be built"),
    "width-a-text": (network(network="unet", width="wide"), "cannot be built"),
    "width-a-fraction": (network(network="unet", width=4.5), "cannot be built"),
    "filters-and-blocks-differ": (
        network(network="physics_unet", filters=[4, 4], blocks=[0]), "cannot be built"),
    "no-filters": (network(network="physics_unet", filters=[], blocks=[]), "cannot be built"),
    "no-levels": (network(network="unet", width=4, levels=0), "do not fit"),
    "another-width": (network(network="unet", width=8), "weights do not fit"),
    "another-network": (network(network="physics_unet", **SMALL), "weights do not fit"),
    "a-variable-missing": (
        lambda p, s: rewrite(p, s, lambda t: dict(list(t.items())[:-1])), "do not fit"),
    "a-wrong-shape": (
        lambda p, s: rewrite(p, s, lambda t: t | {"0000": t["0000"][:2]}), "do not fit"),
    "another-value": (
        lambda p, s: rewrite(p, s, lambda t: t | {"0000": t["0000"] * 1.5}, sign=False), "SHA-256"),
    "no-variables": (lambda p, s: rewrite(p, s, lambda t: {}), "do not fit"),
}


@pytest.mark.parametrize("make, problem", BAD.values(), ids=BAD)
def test_bad_weights(saved, tmp_path, make, problem):
    path = tmp_path / "generator.safetensors"
    make(path, saved)
    with pytest.raises(WeightsError) as error:
        load_generator(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and problem in message
    assert message.endswith(".") and "\n" not in message and len(message) < 400


def test_a_flipped_byte_anywhere(saved, tmp_path):
    """It is noticed, or it lay in what does not matter, as a version: never another error."""
    path, whole = tmp_path / "generator.safetensors", load_generator(saved)
    header = 8 + metadata_of(saved)[1]
    places = np.random.default_rng(1)
    for place in (*places.integers(0, header, 60), *places.integers(header, 60_000, 20)):
        flip(path, saved, place)
        try:
            again = load_generator(path)
        except WeightsError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            continue
        assert place < header, "the weights themselves are under the digest"
        for old, new in zip(whole.weights, again.weights, strict=True):
            assert np.array_equal(old, new), place


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "SAMPLE_DATA", tmp_path / "sample_data")
    folder = tmp_path / "sample_data" / "weights" / "pix2pix"
    folder.mkdir(parents=True)
    return folder


def test_find_weights_prefers_the_newest_finished_run(shipped, tmp_path):
    runs = tmp_path / "runs"
    for number, finished in ((2, True), (10, True), (11, False)):
        folder = runs / f"pix2pix-{number:03}"
        folder.mkdir(parents=True)
        if finished:
            (folder / "generator.safetensors").touch()
    assert find_weights("pix2pix", runs) == runs / "pix2pix-010"


def test_find_weights_falls_back_to_the_shipped_ones(shipped, tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs" / "pix2pix-001").mkdir(parents=True)
    assert find_weights("pix2pix") == shipped


def test_a_run_may_lie_in_any_folder(shipped, saved, tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "another-001"
    folder.mkdir(parents=True)
    shutil.copy(saved, folder)
    load_generator(folder / "generator.safetensors")
    monkeypatch.chdir(folder)
    load_generator("generator.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        load_generator("/generator.safetensors")


def test_no_weights_at_all(shipped, tmp_path):
    with pytest.raises(WeightsError) as error:
        find_weights("l1-only", tmp_path)
    assert str(error.value) == (
        f"{shipped.parent / 'l1-only'}: no such weights; run notebook 03 to train l1-only."
    )
