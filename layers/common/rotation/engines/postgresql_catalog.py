"""What does PostgreSQL's catalog tell about the two roles of a pair?

The queries of `rotation.engines.postgresql_pair`, each as `(role names)`, `(oid of the clone)` or with the oids of both
by name. They run with `search_path = pg_catalog`, and any user may run them.
"""

FLAGS = {
    "rolsuper": "SUPERUSER",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}

ROLES = f"""
    SELECT rolname, oid, {", ".join(FLAGS)}, rolconnlimit, coalesce(rolvaliduntil, 'infinity')::text,
           rolcanlogin, rolinherit, coalesce(shobj_description(oid, 'pg_authid'), '')
    FROM pg_roles WHERE rolname IN (%s, %s)"""  # noqa: S608 - made of constants

SETTINGS = """
    SELECT r.rolname, d.datname, s.setconfig
    FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE r.rolname IN (%s, %s)"""

MEMBERSHIPS = """
    SELECT r.rolname, m.admin_option, pg_get_userbyid(m.grantor),
           pg_has_role(%(original)s, m.roleid,
                       'MEMBER' || CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
    WHERE m.member = %(clone)s AND m.roleid <> %(original)s"""

TRACES = """
    SELECT s.deptype::text, pg_describe_object(s.classid, s.objid, s.objsubid)
    FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype IN ('o', 'a', 'r')
      AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.classid <> 'pg_auth_members'::regclass AND NOT (s.classid = 'pg_default_acl'::regclass AND s.deptype = 'o')
    ORDER BY 2"""
"""What the clone owns (o), is granted (a), or has a policy for (r), here or on shared objects."""

ELSEWHERE = """
    SELECT DISTINCT d.datname
    FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s AND s.deptype IN ('o', 'a', 'r')
      AND d.datname <> current_database() AND d.datallowconn
      AND NOT (s.classid = 'pg_default_acl'::regclass AND s.deptype = 'o')
    ORDER BY 1"""

UNCOVERED = """
    WITH acls (classid, objid, objsubid, owner, acl) AS (
        SELECT 'pg_class'::regclass, oid, 0, relowner, relacl FROM pg_class
        UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, relowner, attacl
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspowner, nspacl FROM pg_namespace
        UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proowner, proacl FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, 0, typowner, typacl FROM pg_type
        UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanowner, lanacl FROM pg_language
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl FROM pg_foreign_server
        UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0, lomowner, lomacl FROM pg_largeobject_metadata
        UNION ALL SELECT 'pg_database'::regclass, oid, 0, datdba, datacl FROM pg_database
        UNION ALL SELECT 'pg_tablespace'::regclass, oid, 0, spcowner, spcacl FROM pg_tablespace
        UNION ALL SELECT 'pg_default_acl'::regclass, oid, 0, defaclrole, defaclacl FROM pg_default_acl
        {parameters}
    )
    SELECT o.type, o.identity, c.attname, held.privilege_type, held.is_grantable,
           pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype::text,
           (pg_identify_object(acls.classid, acls.objid, 0)).identity
    FROM acls CROSS JOIN aclexplode(acl) held
         CROSS JOIN pg_identify_object(acls.classid, acls.objid, acls.objsubid) o
         LEFT JOIN pg_attribute c
             ON acls.classid = 'pg_class'::regclass AND c.attrelid = objid AND c.attnum = objsubid AND objsubid > 0
         LEFT JOIN pg_default_acl d ON acls.classid = 'pg_default_acl'::regclass AND d.oid = objid
         LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    WHERE held.grantee = %(clone)s AND acls.owner <> %(clone)s AND NOT pg_has_role(%(original)s, acls.owner, 'USAGE')
      AND NOT EXISTS (
        SELECT FROM aclexplode(acl) other
        WHERE other.privilege_type = held.privilege_type AND (other.is_grantable OR NOT held.is_grantable)
          AND CASE WHEN other.grantee = 0 THEN true ELSE pg_has_role(%(original)s, other.grantee, 'USAGE') END)
      AND NOT (acls.classid = 'pg_class'::regclass AND objsubid > 0 AND has_column_privilege(
        %(original)s, objid, objsubid::int2,
        held.privilege_type || CASE WHEN held.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
    ORDER BY 1, 2, 4"""
"""What the clone is granted, and the original has from nowhere: not from itself, its roles, PUBLIC, or as the owner."""

PARAMETERS = "UNION ALL SELECT 'pg_parameter_acl'::regclass, oid, 0, 10, paracl FROM pg_parameter_acl"
PARAMETER_ACLS = 150000

DEFAULTS = """
    SELECT n.nspname, d.objtype,
           CASE WHEN e.grantee = 0 THEN '' WHEN e.grantee <> %(role)s THEN pg_get_userbyid(e.grantee) END,
           e.privilege_type, e.is_grantable
    FROM (SELECT defaclnamespace, defaclobjtype::text, defaclacl FROM pg_default_acl WHERE defaclrole = %(role)s
          UNION ALL
          SELECT 0::oid, t.objtype, acldefault(CASE t.objtype WHEN 'S' THEN 's' ELSE t.objtype END::"char", %(role)s)
          FROM (VALUES ('r'), ('S'), ('f'), ('T'), ('n')) t (objtype)
          WHERE NOT EXISTS (SELECT FROM pg_default_acl
                            WHERE defaclrole = %(role)s AND defaclnamespace = 0 AND defaclobjtype::text = t.objtype)
         ) d (namespace, objtype, acl)
         CROSS JOIN aclexplode(d.acl) e
         LEFT JOIN pg_namespace n ON n.oid = d.namespace"""
"""The default privileges of a role, those that are built in included; the role itself is NULL, PUBLIC is empty."""
