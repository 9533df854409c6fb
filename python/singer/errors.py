"""What singer raises."""


class SingerError(Exception):
    """What can go wrong in singer; each message names what is at fault."""


class SettingError(SingerError, ValueError):
    """A setting that cannot work."""


class DataError(SingerError, OSError):
    """Images or files that cannot be read or written."""


class ModelError(SingerError):
    """Weights that cannot be opened, or models that do not fit each other."""


class DeviceError(SingerError, RuntimeError):
    """A device that is not there, or failed."""


class NotFiniteError(SingerError, ArithmeticError):
    """A loss or weights that became NaN or infinite."""
