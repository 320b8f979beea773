"""Would a rotation of this secret succeed? Looks at everything that it needs, one item after the other.

    configuration   the function's own environment
    secret          it can be read; who rotates it, when, and which labels its versions have
    credential      its JSON, the strategy, the names, the admin secret
    network         DNS, TCP, TLS and the certificate, of each host
    login           AWSCURRENT logs in
    server          version, replica, password rules, lockout, as the server shows them
    rights          what the strategy needs of the user and of the admin
    pair            whose the clone is, what cannot be shared, what differs

Nothing is changed, neither in Secrets Manager nor in the database. One failed login is made at most: after it nobody
else logs in. An item is not looked at if one that it needs has failed.
"""
