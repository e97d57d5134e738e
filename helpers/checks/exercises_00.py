"""The exercise of notebook 00."""

from helpers.checks import exercise, letter


@exercise("00.1")
def _is_the_blue_real(answer):
    """What a sky that comes out blue says about the sky behind the haze."""
    letter(answer, {
        "a": "Then a picture that holds no colour could not get a blue sky. Dehaze grey, and print "
             "the blueness of its sky.",
        "b": "That fits the photograph, and there it may even be so. But what is there to "
             "strengthen in grey, where red, green and blue are equal? Print the blueness of its "
             "sky after dehazing.",
        "d": "A tint would shift sky and sand alike. Print the blueness of the sand, too, and look "
             "at its sign.",
    }, "c")
