"""The voxel grid of a phantom scan.

Apart from the drawing, whose SciPy takes long to import: every job reads the workflow, which counts slices.
"""

#: Voxels of a phantom scan, (z, y, x), and their size in mm.
SHAPE = (24, 96, 96)
SPACING_MM = (1.5, 0.75, 0.75)
#: Extent between the centres of the outermost voxels, mm.
EXTENT_MM = tuple((n - 1) * s for n, s in zip(SHAPE, SPACING_MM, strict=True))
