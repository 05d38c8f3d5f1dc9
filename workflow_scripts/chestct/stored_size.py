"""What volumes take on the disk, for plans made before there are any."""

#: Stored bytes a voxel: int16, of which lossless compression leaves about half (67.5 of 131 KiB a slice of
#: 256 x 256 on a real series).
_BYTES_A_VOXEL = 1.05


def stored_bytes(num_slices: float, size_px: int) -> float:
    """Bytes that slices of size_px x size_px pixels are expected to take in the volume store."""
    return num_slices * size_px**2 * _BYTES_A_VOXEL
