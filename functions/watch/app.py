"""Watches the rotation functions: did each rotation run, and may a function go?"""

from rotation.watch.guard import guard_handler
from rotation.watch.overdue import overdue_handler

overdue = overdue_handler()
guard = guard_handler()
