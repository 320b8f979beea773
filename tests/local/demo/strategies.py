"""Which strategies does the demo show, and what is the lesson of each?"""

from dataclasses import replace

from tests.local.demo.databases import Strategy

SINGLE_USER = Strategy(
    name="single-user",
    title="Single user",
    lesson="The user changes its own password. From then until finishSecret moves AWSCURRENT, logins are refused: "
    "a short gap. This strategy needs no admin, and cannot avoid the gap.",
    application="shop",
    has_gap=True,
)
ALTERNATING_USERS = Strategy(
    name="alternating-users",
    title="Alternating users",
    lesson="Two users with equal rights take turns. An admin mirrors one onto the other, its clone, and gives the "
    "clone the new password. AWSCURRENT works at every instant, also for an application that has cached it.",
    application="billing",
    rotations=2,
    needs_admin=True,
)
DUAL_PASSWORD = Strategy(
    name="dual-password",
    title="Dual password",
    lesson="One user with two passwords: it adds the new one by itself, and keeps the old one until the next rotation. "
    "AWSCURRENT works at every instant, also for an application that has cached it. No second user, and no admin.",
    application="storage",
    rotations=2,
)
DUAL_PASSWORD_BY_ADMIN = replace(
    DUAL_PASSWORD,
    lesson="One user with two passwords: an admin adds the new one, and keeps the old one until the next rotation. "
    "AWSCURRENT works at every instant, also for an application that has cached it. There is no second user.",
    needs_admin=True,
)
