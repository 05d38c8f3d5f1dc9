"""What the numbers of a volume are: HU, HU + 1024 (in files alone), or the grey values of display images.

A display image was scaled for the eye: its values run from 0 to 255 and are no HU, so that nothing may be
concluded from their size. What fills from outside an image follows from it: air, or black.
"""

#: Values of the key ``intensity``. Stored volumes are HU or display: what files add is taken off when read.
HU, HU_PLUS_1024, DISPLAY = "hu", "hu_plus_1024", "display"
#: What files add to HU, by intensity.
OFFSET_HU = {HU: 0, HU_PLUS_1024: 1024}
#: Radiodensity of air, HU.
AIR_HU = -1024
#: Grey values of display images, lowest and highest.
DISPLAY_RANGE = (0, 255)
#: By intensity: what fills from outside an image, in padding, rotation and past the end of a scan.
FILL = {HU: AIR_HU, DISPLAY: DISPLAY_RANGE[0]}
#: What ledgers, pictures and the report say of display images.
DISPLAY_WORDS = "display values, not HU"
