"""What a user can mend."""


class UserError(Exception):
    """Something that the user can mend; the message is one line.

    It says what is wrong, where, and what to do: a missing folder, a broken
    file, an impossible combination of flags. `command_line.run` prints it.
    """
