"""The recipes against each other: one change at a time, from the published form to what the starter is made with."""

from __future__ import annotations

from photochrom.training.study.variant import Decode, Study, Variant

RECIPES = Study(
    name="recipes",
    title="Recipes for the VGG16 encoder",
    reference="conv5",
    # how conv5 itself is read
    config={"vividness": 0.2, "temperature": 0.38, "working_side": 224},
    variants=(
        Variant("residual", "the published form and loss, encoder frozen", "vgg16-yuv-residual"),
        Variant("frozen", "distribution over chroma, encoder frozen", "vgg16-yuv", {"encoder_blocks": ()}),
        Variant("conv5", "the same, conv5 learns at a tenth of the rate", "vgg16-yuv"),
        Variant("conv4-5", "conv4 learns so, too", "vgg16-yuv", {"encoder_blocks": ("conv4", "conv5")}),
        Variant("rebalance-0", "conv5, every colour weighs the same", "vgg16-yuv", config={"rebalance": 0.0}),
        Variant("rebalance-1", "conv5, rare colours weigh by all their rarity", "vgg16-yuv", config={"rebalance": 1.0}),
        Variant("no-average", "conv5, the last weights instead of their average", "vgg16-yuv", {"average": 0.0}),
    ),
    decodes=(
        Decode("vividness-0", "conv5, colours as likely as they are", "conv5", vividness=0.0),
        Decode("vividness-0.5", "conv5, as it was trained", "conv5", vividness=0.5),
        Decode("vividness-1", "conv5, rare colours as likely as common ones", "conv5", vividness=1.0),
        Decode("temperature-0.2", "conv5, nearer to the likeliest colour", "conv5", temperature=0.2),
        Decode("temperature-1", "conv5, the plain mean", "conv5", temperature=1.0),
        Decode("mirrored", "conv5, mean with the mirror image", "conv5", mirrored=True),
    ),
)
