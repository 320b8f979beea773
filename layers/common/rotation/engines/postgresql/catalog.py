"""What does PostgreSQL's catalog say about the two roles of a pair?

These are the queries of the driver. They run with `search_path = pg_catalog` and evaluate nothing that a user can
write, and every user is permitted to run them. Most are about the clone and the original, and take their oids under
these two names.

An *operator* is a superuser or a role with CREATEROLE. Everybody else who gives the clone something is a *stranger*.
"""

MEMBERSHIP_OPTIONS = 160000
"""The first version in which each membership has options of its own, INHERIT and SET, and in which CREATEROLE alone
administers no role."""

PARAMETER_ACLS = 150000
"""The first version in which rights on settings (parameters) can be granted."""

FLAGS = {
    "rolsuper": "SUPERUSER",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}

SERVER = "to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
"""No two servers have this in common. A copy of a server has the same identifier, databases, roles and oids."""

SURROUNDINGS = """
    SELECT current_user, pg_catalog.current_setting('search_path'),
        pg_catalog.array_to_string(pg_catalog.current_schemas(false), ', '),
        EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) session_user
            AND 'role' OPERATOR(pg_catalog.=) ANY (
                SELECT pg_catalog.split_part(setting, '=', 1) FROM pg_catalog.unnest(rolconfig) AS setting))
"""
"""As whom an application acts, where it looks for names, which schemas of these there are, and whether a setting of the
user says as whom it acts."""

LOGGED_IN = f"SELECT rolname, oid, {SERVER} FROM pg_roles WHERE rolname = session_user"  # noqa: S608 - made of constants

PRINCIPAL = f"SELECT oid, {SERVER} FROM pg_roles WHERE rolname = %s"  # noqa: S608 - the same

OID = "SELECT rolname, oid FROM pg_roles WHERE rolname = {}"

ROLES = f"""
    SELECT rolname, oid::int8, {", ".join(FLAGS)}, rolconnlimit, coalesce(rolvaliduntil, 'infinity')::text,
           coalesce(rolvaliduntil <= now(), false), rolcanlogin, rolinherit,
           coalesce(shobj_description(oid, 'pg_authid'), ''),
           pg_has_role(session_user, oid, 'MEMBER WITH ADMIN OPTION')
    FROM pg_roles WHERE rolname IN (%s, %s, %s)"""  # noqa: S608 - made of constants

SETTINGS = """
    SELECT r.rolname, d.datname, ARRAY(
        SELECT CASE WHEN starts_with(entry, 'role=') AND NOT EXISTS (
                         SELECT FROM pg_roles a WHERE 'role=' || a.rolname = entry
                         AND (a.rolname IN (%(user)s, %(other)s) OR pg_has_role(r.oid, a.oid, '{act_as}')))
                    THEN 'role=none' ELSE entry END
        FROM unnest(s.setconfig) entry)
    FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE r.rolname IN (%(user)s, %(other)s)"""
"""A role that is gone, or that the user cannot act as, the server ignores at each login, and so it is read as none."""

ACTING = """
    SELECT u.rolname, coalesce(a.rolname, u.rolname), coalesce(a.setrole = 0, false)
    FROM pg_roles u LEFT JOIN LATERAL (
        SELECT r.rolname, s.setrole
        FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) entry
             LEFT JOIN pg_roles r ON 'role=' || r.rolname = entry
        WHERE s.setrole IN (0, u.oid) AND starts_with(entry, 'role=')
          AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
          AND (entry = 'role=none' OR pg_has_role(u.oid, r.oid, '{act_as}'))
        ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1) a ON true
    WHERE u.rolname IN (%s, %s)"""
"""As whom a user acts in this database, and whether a setting of the database, or of all, says so. The server ignores a
setting with a role that the user cannot act as."""

TRUSTED = (
    "NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)"
    " AND pg_has_role(session_user, {grantor}, '{act_as}')"
)
"""Whether the operator has let this session's user act as who granted something. A superuser can act as everybody."""

IS_MEMBER = "SELECT 1 FROM pg_auth_members WHERE roleid = %s AND member = %s LIMIT 1"
IS_FULL_MEMBER = (
    "SELECT 1 FROM pg_auth_members WHERE roleid = %s AND member = %s AND inherit_option AND set_option LIMIT 1"
)
"""From version 16 on, a membership has options of its own."""

CAN_ACT_AS = "SELECT pg_has_role(session_user, %s, '{act_as}')"

CAN_BE_BOTH = """
    SELECT pg_has_role(session_user, %(original)s, 'USAGE') AND pg_has_role(session_user, %(original)s, '{act_as}')
       AND pg_has_role(session_user, %(clone)s, 'USAGE') AND pg_has_role(session_user, %(clone)s, '{act_as}')"""
"""REASSIGN OWNED needs the rights of both and, since 14.25, 15.20, 16.16, 17.12 and 18.7, the right to act as the new
owner (CVE-2026-120146)."""

OWN_MEMBERSHIPS = """
    SELECT pg_get_userbyid(m.grantor), {inherit}, {set}
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
    WHERE m.roleid = %s AND r.rolname = session_user"""

EXTRA_MEMBERSHIPS = """
    SELECT r.rolname, m.admin_option, {inherit}, {set}, pg_get_userbyid(m.grantor),
           coalesce(g.rolsuper OR g.rolcreaterole, false),
           bool_or(o.admin_option), {also_inherit}, {also_set}, {is_own}, {can_revoke}, {can_grant}, {clone_can_grant},
           {is_trusted}
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid LEFT JOIN pg_roles g ON g.oid = m.grantor
         LEFT JOIN pg_auth_members o ON o.roleid = m.roleid AND o.member = %(original)s
    WHERE m.member = %(clone)s AND m.roleid <> %(original)s
      AND NOT (pg_has_role(%(original)s, m.roleid, 'MEMBER') AND {covered}
               AND (NOT m.admin_option OR pg_has_role(%(original)s, m.roleid, 'MEMBER WITH ADMIN OPTION')))
    GROUP BY m.ctid, m.roleid, m.grantor, r.rolname, m.admin_option, 3, 4, 5, 6
    ORDER BY 6 DESC, 1 LIMIT 1000"""
"""Of which roles the clone is a member and the original is not, or lacks an option; who granted it; whether the clone
has it because it created the role; whether this session's user can revoke it; whether this session's user, and whether
the clone, can grant the role; and whether this session's user is trusted to act as who granted it."""

MEMBERSHIPS = """
    SELECT DISTINCT r.rolname, m.admin_option, {inherit}, {set}
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid LEFT JOIN pg_roles g ON g.oid = m.grantor
    WHERE m.member = %(role)s AND m.roleid <> %(other)s AND NOT ({is_creators})
      AND (g.rolsuper OR g.rolcreaterole OR {is_trusted})"""
"""Of which roles a role was made a member, by operators and by whom this session's user is trusted to act as, without
the roles that it created."""

ADMINISTERS = (
    "EXISTS (SELECT FROM pg_auth_members a"
    " WHERE a.roleid = m.roleid AND a.admin_option AND pg_has_role({role}, a.member, 'USAGE'))"
)

FROM_16 = {
    "inherit": "m.inherit_option",
    "set": "m.set_option",
    "also_inherit": "bool_or(o.inherit_option)",
    "also_set": "bool_or(o.set_option)",
    "covered": "(NOT m.inherit_option OR pg_has_role(%(original)s, m.roleid, 'USAGE'))"
    " AND (NOT m.set_option OR pg_has_role(%(original)s, m.roleid, 'SET'))",
    # The creator of a role gets this from the bootstrap superuser, whose oid is 10, and perhaps more from itself:
    # https://www.postgresql.org/docs/current/role-attributes.html, "role creation".
    "is_own": "m.grantor = %(clone)s"
    " OR m.grantor = 10 AND m.admin_option AND NOT m.inherit_option AND NOT m.set_option",
    "is_creators": "m.grantor = m.member"
    " OR m.grantor = 10 AND m.admin_option AND NOT m.inherit_option AND NOT m.set_option",
    "is_trusted": TRUSTED.format(grantor="m.grantor", act_as="SET"),
    "can_revoke": "pg_has_role(session_user, m.grantor, 'USAGE')",
    "can_grant": f"pg_has_role(session_user, 10, 'USAGE') OR {ADMINISTERS.format(role='session_user')}",
    "clone_can_grant": ADMINISTERS.format(role="%(clone)s"),
}
BEFORE_16 = {
    "inherit": "true",
    "set": "true",
    "also_inherit": "true",
    "also_set": "true",
    "covered": "true",
    "is_own": "false",
    "is_creators": "false",
    "is_trusted": TRUSTED.format(grantor="m.grantor", act_as="MEMBER"),
    "can_revoke": "true",
    "can_grant": "true",
    "clone_can_grant": "true",
}
"""Who has CREATEROLE could grant and revoke every role."""

IS_HOLDING = """s.classid <> 'pg_auth_members'::regclass
      AND NOT (s.classid = 'pg_default_acl'::regclass AND s.deptype = 'o')"""
"""Two kinds of entries are no holdings: memberships have a query of their own, and default privileges that the clone
itself has set are compared with the original's."""

HOLDS = f"""
    SELECT DISTINCT CASE s.classid WHEN 'pg_user_mapping'::regclass THEN 'm' ELSE s.deptype::text END
    FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype IN ('o', 'a', 'r')
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AND {IS_HOLDING}"""  # noqa: S608 - constants
"""Whether the clone by itself owns something (o), has a right (a), a policy (r) or a user mapping (m), in this database
or on shared objects."""

OWNED = f"""
    SELECT pg_describe_object(s.classid, s.objid, s.objsubid)
    FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype = 'o'
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.classid <> 'pg_user_mapping'::regclass AND {IS_HOLDING}
    ORDER BY s.classid, s.objid LIMIT 100"""  # noqa: S608 - constants

UNMOVABLE = """
    SELECT pg_describe_object('pg_policy'::regclass, p.oid, 0), {is_known},
           'ALTER POLICY ' || quote_ident(p.polname) || ' ON ' || p.polrelid::regclass::text || ' TO '
           || (SELECT string_agg(quote_ident(pg_get_userbyid(role)), ', ')
               FROM unnest(p.polroles || %(original)s::oid) role)
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_roles r ON r.oid = c.relowner
    WHERE %(clone)s = ANY (p.polroles)
      AND NOT EXISTS (SELECT FROM unnest(p.polroles) other (role)
                      WHERE CASE other.role WHEN 0 THEN true ELSE pg_has_role(%(original)s, other.role, 'USAGE') END)
    UNION ALL
    SELECT 'user mapping for server ' || quote_ident(m.srvname), {is_known},
           'CREATE USER MAPPING FOR ' || quote_ident(pg_get_userbyid(%(original)s))
           || ' SERVER ' || quote_ident(m.srvname) || ' OPTIONS (…), with its options'
    FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid JOIN pg_roles r ON r.oid = s.srvowner
    WHERE m.umuser = %(clone)s
      AND NOT EXISTS (SELECT FROM pg_user_mappings other
                      WHERE other.srvid = m.srvid AND other.umuser IN (0, %(original)s))
    ORDER BY 2 DESC, 1 LIMIT 100"""
"""Policies and user mappings that were made for the clone alone; whether their owner is no stranger: an operator, the
pair, or somebody whose rights the pair or this session's user has; and how the owner makes them for the original."""

IS_KNOWN = (
    "r.rolsuper OR r.rolcreaterole OR pg_has_role(%(clone)s, r.oid, 'MEMBER')"
    " OR pg_has_role(session_user, r.oid, '{act_as}')"
)

OTHER_DATABASES = f"""
    SELECT d.datname, bool_or(s.deptype = 'o' AND s.classid <> 'pg_user_mapping'::regclass) AS owned,
           r.rolsuper OR r.rolcreaterole AS operators,
           has_database_privilege(session_user, d.oid, 'CONNECT') AS enterable,
           bool_or(s.deptype = 'r' OR s.classid = 'pg_user_mapping'::regclass) AS unmovable
    FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles r ON r.oid = d.datdba
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype IN ('o', 'a', 'r')
      AND d.datname <> current_database() AND d.datallowconn AND {IS_HOLDING}
    GROUP BY d.oid, d.datname, r.rolsuper, r.rolcreaterole
    ORDER BY 2 DESC, 3 DESC, 1 LIMIT 1000"""  # noqa: S608 - constants
"""The other databases in which the clone holds something; whether it owns something there; whether an operator owns the
database; whether this session's user has the right to connect to it; and whether the clone has a policy or a user
mapping there."""

ENCRYPTION = "SELECT setting, source FROM pg_settings WHERE name = 'password_encryption'"
"""How passwords are stored, and where that was set (https://www.postgresql.org/docs/current/view-pg-settings.html)."""

ACLS = """
    acls (classid, objid, objsubid, owner, acl, made) AS (
        SELECT 'pg_class'::regclass, oid, 0, relowner, relacl, xmin FROM pg_class
        UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, relowner, attacl, a.xmin
            FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspowner, nspacl, xmin FROM pg_namespace
        UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proowner, proacl, xmin FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, 0, typowner, typacl, xmin FROM pg_type
        UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanowner, lanacl, xmin FROM pg_language
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl, xmin
            FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl, xmin FROM pg_foreign_server
        UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0, lomowner, lomacl, xmin FROM pg_largeobject_metadata
        UNION ALL SELECT 'pg_database'::regclass, oid, 0, datdba, datacl, xmin FROM pg_database
        UNION ALL SELECT 'pg_tablespace'::regclass, oid, 0, spcowner, spcacl, xmin FROM pg_tablespace
        UNION ALL SELECT 'pg_default_acl'::regclass, oid, 0, defaclrole, defaclacl, xmin FROM pg_default_acl
        {parameters}
    )"""

PARAMETERS = "UNION ALL SELECT 'pg_parameter_acl'::regclass, oid, 0, 10, paracl, xmin FROM pg_parameter_acl"

LACKED, SHARED = "NOT", ""
"""Which of the clone's rights GRANTS returns."""

GRANTS = f"""
    WITH {ACLS}, chosen AS (
        SELECT classid, objid, objsubid, held.privilege_type, held.is_grantable, held.grantor,
               coalesce(g.rolsuper OR g.rolcreaterole, false) AS by_operator, owner,
               {TRUSTED.format(grantor="held.grantor", act_as="{act_as}")} AS is_trusted
        FROM acls CROSS JOIN aclexplode(acl) held LEFT JOIN pg_roles g ON g.oid = held.grantor
        WHERE held.grantee = %(clone)s AND owner <> %(clone)s AND {{which}} (
          pg_has_role(%(original)s, owner, 'USAGE')
          OR EXISTS (
            SELECT FROM aclexplode(acl) other
            WHERE other.privilege_type = held.privilege_type AND (other.is_grantable OR NOT held.is_grantable)
              AND CASE other.grantee WHEN 0 THEN true ELSE pg_has_role(%(original)s, other.grantee, 'USAGE') END)
          OR CASE WHEN classid = 'pg_class'::regclass AND objsubid > 0 THEN has_column_privilege(
            %(original)s, objid, objsubid::int2,
            held.privilege_type || CASE WHEN held.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) ELSE false END)
    ), counted AS (
        SELECT *, row_number() OVER (PARTITION BY by_operator ORDER BY classid, objid, objsubid) AS place
        FROM chosen
    )
    SELECT o.type, o.identity, c.attname, u.privilege_type, u.is_grantable,
           pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype::text, whole.identity,
           u.classid::oid, u.objid, pg_get_userbyid(u.grantor), u.by_operator,
           pg_has_role(session_user, u.grantor, '{{act_as}}'), u.is_trusted, u.grantor = u.owner
    FROM counted u
         CROSS JOIN pg_identify_object(u.classid, u.objid, u.objsubid) o
         CROSS JOIN pg_identify_object(u.classid, u.objid, 0) whole
         LEFT JOIN pg_attribute c
             ON u.classid = 'pg_class'::regclass AND c.attrelid = u.objid AND c.attnum = u.objsubid AND u.objsubid > 0
         LEFT JOIN pg_default_acl d ON u.classid = 'pg_default_acl'::regclass AND d.oid = u.objid
         LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE u.place <= CASE WHEN u.by_operator THEN 5000 ELSE 100 END AND o.identity IS NOT NULL
      AND (u.by_operator OR length(o.identity) <= 1000)
    ORDER BY u.by_operator DESC, 1, 2, 4"""  # noqa: S608 - constants
"""The rights that are granted to the clone, and that the original (`which`) does not have, or has, in any way: by a
grant of its own, by its roles, by PUBLIC, or as the owner. At most 5,000 that operators granted, and 100 that strangers
did, on objects with a short name."""

HELD = f"""
    WITH {ACLS}
    SELECT encode(sha256(convert_to(string_agg(
             concat_ws(' ', a.classid::oid, a.objid, a.objsubid, held.privilege_type, held.is_grantable), ',' ORDER BY
             a.classid::oid, a.objid, a.objsubid, held.privilege_type COLLATE "C", held.is_grantable), 'UTF8')), 'hex')
    FROM pg_shdepend s JOIN acls a ON a.classid = s.classid AND a.objid = s.objid AND a.objsubid = s.objsubid
         CROSS JOIN aclexplode(a.acl) held LEFT JOIN pg_roles g ON g.oid = held.grantor
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %(role)s AND s.deptype = 'a'
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND held.grantee = %(role)s
      AND (g.rolsuper OR g.rolcreaterole OR {TRUSTED.format(grantor="held.grantor", act_as="{act_as}")})"""  # noqa: S608 - constants
"""A hash of the rights that a role itself was granted, by operators and by whom this session's user is trusted to act
as, in this database and on shared objects; NULL if there is none."""

CHANGED_ACLS = f"""
    WITH {ACLS}
    SELECT DISTINCT classid::oid, objid FROM acls WHERE made = pg_current_xact_id()::xid LIMIT 5001"""  # noqa: S608 - constants
"""The objects whose ACLs this transaction has changed, without those changed inside of savepoints."""

STRANGE_TRIGGERS = """
    SELECT t.evtname, p.oid::regprocedure::text, pg_get_userbyid(p.proowner)
    FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid JOIN pg_roles r ON r.oid = p.proowner
    WHERE t.evtenabled <> 'D' AND NOT r.rolsuper AND r.rolname <> session_user
      AND NOT EXISTS (SELECT FROM pg_roles m
                      WHERE m.rolname = 'rds_superuser' AND pg_has_role(p.proowner, m.oid, 'MEMBER'))
    ORDER BY 1 LIMIT 1"""
"""An event trigger whose function belongs to a stranger: to neither a superuser nor a member of rds_superuser."""

OPERATORS_TRIGGERS = """
    SELECT p.oid::regprocedure::text, n.nspname
    FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE t.evtenabled <> 'D'
    ORDER BY EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE starts_with(setting, 'search_path=')), 1 LIMIT 1"""
"""A function that event triggers run: rather one without a search_path of its own, which runs with ours."""

DEFAULTS = """
    SELECT n.nspname, d.objtype,
           CASE WHEN e.grantee = 0 THEN '' WHEN e.grantee <> %(role)s THEN pg_get_userbyid(e.grantee) END,
           e.privilege_type, e.is_grantable
    FROM (SELECT defaclnamespace, defaclobjtype::text, defaclacl FROM pg_default_acl WHERE defaclrole = %(role)s
          UNION ALL
          SELECT 0::oid, t.objtype, acldefault(CASE t.objtype WHEN 'S' THEN 's' ELSE t.objtype END::"char", %(role)s)
          FROM (VALUES ('r'), ('S'), ('f'), ('T'), ('n'), ('L')) t (objtype)
          WHERE NOT EXISTS (SELECT FROM pg_default_acl
                            WHERE defaclrole = %(role)s AND defaclnamespace = 0 AND defaclobjtype::text = t.objtype)
         ) d (namespace, objtype, acl)
         CROSS JOIN aclexplode(d.acl) e
         LEFT JOIN pg_namespace n ON n.oid = d.namespace
    WHERE e.grantee <> %(other)s"""
"""The default privileges of a role, with the built-in ones. The grantee is NULL for the role itself, and empty for
PUBLIC. What one of the pair grants to the other does not count, because what one owns, both own."""

HAS_DEFAULTS = "SELECT 1 FROM pg_default_acl WHERE defaclrole = %s LIMIT 1"
"""Whether a role has default privileges besides the built-in ones."""

HELD_LOCKS = """
    SELECT DISTINCT l.pid, a.usename
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN pg_class c ON c.oid = l.relation
    WHERE l.granted AND l.pid <> pg_backend_pid()
      AND CASE WHEN l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) THEN c.relowner = %s
               WHEN l.mode IN ('AccessShareLock', 'RowShareLock') THEN false
               WHEN l.locktype = 'object' THEN l.classid = 'pg_authid'::regclass
               ELSE l.relation IN ('pg_authid'::regclass, 'pg_auth_members'::regclass, 'pg_db_role_setting'::regclass)
          END
    ORDER BY 1 LIMIT 5"""
"""The other sessions that use tables of an owner in this database, or hold locks on roles, on memberships or on
settings of roles; and whose sessions they are."""
