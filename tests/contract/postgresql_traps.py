"""What can the owner of a database, or of a schema, leave lying about for an admin of PostgreSQL to step into?

Everything that PostgreSQL lets an ordinary user attach a function to. Each trap notes who has stepped into it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.sql import SQL, Identifier

from tests.laboratories import Run
from tests.laboratories.postgresql import PostgreSQLLaboratory

CAUGHT = """
    CREATE TABLE public.caught (who name DEFAULT session_user, acting_as name DEFAULT current_user, trap text);
    GRANT INSERT ON public.caught TO PUBLIC;
    CREATE FUNCTION public.sprung(text) RETURNS boolean LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.caught (trap) VALUES ($1); RETURN true; END';
    -- What is declared to be immutable may write all the same, if it calls what is not.
    CREATE FUNCTION public.sprung_in_silence(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN RETURN public.sprung($1); END'"""


@dataclass(frozen=True)
class Trap:
    """Something that runs code of whoever has laid it."""

    name: str
    lay: str
    step_into: str


def _function(signature: str, returns: str, call: str) -> Trap:
    body = f"BEGIN PERFORM public.sprung($t${signature}$t$); RETURN NULL; END"
    return Trap(signature, f"CREATE FUNCTION public.{signature} RETURNS {returns} LANGUAGE plpgsql AS $${body}$$", call)


def _operator(symbol: str, left: str, right: str, returns: str, call: str) -> Trap:
    name = f"{symbol} of {left} and {right}".replace('"', "")
    body = f"BEGIN PERFORM public.sprung($t${name}$t$); RETURN NULL; END"
    function = f'public."{name}"'
    return Trap(
        name,
        f"CREATE FUNCTION {function} ({left}, {right}) RETURNS {returns} LANGUAGE plpgsql AS $${body}$$;"
        f"CREATE OPERATOR public.{symbol} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {function})",
        call,
    )


def _view(name: str, columns: str = "c.*") -> Trap:
    query = f"SELECT {columns} FROM (VALUES (1)) one LEFT JOIN pg_catalog.{name} c ON true"  # noqa: S608 - constants
    lay = f"CREATE VIEW public.{name} AS {query} WHERE public.sprung($t$view {name}$t$)"
    return Trap(f"view {name}", lay, f"SELECT 1 FROM {name} LIMIT 1")  # noqa: S608 - the same


SHADOWS = [
    # As the system has them, and as they would suit an argument better.
    _function("current_setting(text)", "text", "SELECT current_setting('port'::text)"),
    _function("current_database()", "name", "SELECT current_database()"),
    _function("pg_has_role(name, oid, text)", "boolean", "SELECT pg_has_role('a'::name, 10::oid, 'USAGE'::text)"),
    _function("pg_has_role(oid, oid, text)", "boolean", "SELECT pg_has_role(10::oid, 10::oid, 'USAGE'::text)"),
    _function("pg_has_role(integer, oid, text)", "boolean", "SELECT pg_has_role(10, 10::oid, 'USAGE'::text)"),
    _function("pg_get_userbyid(oid)", "name", "SELECT pg_get_userbyid(10::oid)"),
    _function("pg_backend_pid()", "integer", "SELECT pg_backend_pid()"),
    _function("pg_postmaster_start_time()", "timestamptz", "SELECT pg_postmaster_start_time()"),
    _function("to_char(timestamp, text)", "text", "SELECT to_char(now()::timestamp, 'YYYY'::text)"),
    _function("timezone(text, timestamptz)", "timestamp", "SELECT timezone('UTC'::text, now())"),
    _function("quote_ident(text)", "text", "SELECT quote_ident('a'::text)"),
    _function("quote_ident(name)", "text", "SELECT quote_ident('a'::name)"),
    _function("shobj_description(oid, name)", "text", "SELECT shobj_description(10::oid, 'pg_authid'::name)"),
    _function("pg_describe_object(oid, oid, integer)", "text", "SELECT pg_describe_object(1260::oid, 10::oid, 0)"),
    _function("pg_describe_object(regclass, integer, integer)", "text", "SELECT pg_describe_object(1::regclass, 1, 0)"),
    _function(
        "pg_identify_object(oid, oid, integer)",
        "record",
        "SELECT pg_identify_object(1260::oid, 10::oid, 0)",
    ),
    _function("aclexplode(aclitem[])", "record", "SELECT aclexplode(NULL::aclitem[])"),
    _function('acldefault("char", oid)', "aclitem[]", "SELECT acldefault('r'::\"char\", 10::oid)"),
    _function(
        "has_column_privilege(oid, oid, smallint, text)",
        "boolean",
        "SELECT has_column_privilege(10::oid, 1::oid, 1::smallint, 'SELECT'::text)",
    ),
    _function(
        "has_database_privilege(name, oid, text)",
        "boolean",
        "SELECT has_database_privilege('a'::name, 1::oid, 'CONNECT'::text)",
    ),
    _function("pg_current_xact_id()", "xid8", "SELECT pg_current_xact_id()"),
    _function("hashtext(text)", "integer", "SELECT hashtext('a'::text)"),
    _function("sha256(bytea)", "bytea", "SELECT sha256('a'::bytea)"),
    _function("convert_to(text, name)", "bytea", "SELECT convert_to('a'::text, 'UTF8'::name)"),
    _function("encode(bytea, text)", "text", "SELECT encode('a'::bytea, 'hex'::text)"),
    _function("now()", "timestamptz", "SELECT now()"),
    Trap(
        "bool_or(boolean)",
        "CREATE FUNCTION public.seen(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS"
        " 'BEGIN RETURN public.sprung($$bool_or(boolean)$$); END';"
        "CREATE AGGREGATE public.bool_or(boolean) (SFUNC = public.seen, STYPE = boolean)",
        "SELECT bool_or(true)",
    ),
    _operator("=", "name", "name", "boolean", "SELECT 'a'::name = 'b'::name"),
    _operator("=", "name", "text", "boolean", "SELECT 'a'::name = 'b'::text"),
    _operator("=", "oid", "oid", "boolean", "SELECT 1::oid = 2::oid"),
    _operator("=", "oid", "integer", "boolean", "SELECT 1::oid = 2"),
    _operator("=", "oid", "regclass", "boolean", "SELECT 1::oid = 2::regclass"),
    _operator("=", "text", "text", "boolean", "SELECT 'a'::text = 'b'::text"),
    _operator("=", '"char"', '"char"', "boolean", "SELECT 'a'::\"char\" = 'b'::\"char\""),
    _operator("<>", "oid", "oid", "boolean", "SELECT 1::oid <> 2::oid"),
    _operator("<>", "oid", "integer", "boolean", "SELECT 1::oid <> 2"),
    _operator("<>", "name", "name", "boolean", "SELECT 'a'::name <> 'b'::name"),
    _operator("||", "text", "text", "text", "SELECT 'a'::text || 'b'::text"),
    _view("pg_attribute", "c.attrelid, c.attnum, c.attname, c.attacl"),
    *map(
        _view,
        [
            "pg_roles", "pg_auth_members", "pg_shdepend", "pg_database", "pg_class", "pg_namespace",
            "pg_proc", "pg_type", "pg_language", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_tablespace",
            "pg_db_role_setting", "pg_default_acl", "pg_policy", "pg_user_mappings", "pg_event_trigger", "pg_locks",
            "pg_largeobject_metadata",
        ],
    ),
]  # fmt: skip
"""What has the name of something of the system's, and comes before it in the search path of the database."""

OBJECTS = [
    Trap(
        "cast",
        "CREATE TYPE public.bait AS (i int);"
        "CREATE FUNCTION public.bait_as_text(public.bait) RETURNS text LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM public.sprung($$cast$$); RETURN NULL; END';"
        "CREATE CAST (public.bait AS text) WITH FUNCTION public.bait_as_text AS IMPLICIT",
        "SELECT ROW(1)::public.bait::text",
    ),
    Trap(
        "domain",
        "CREATE DOMAIN public.bait_domain AS int CHECK (public.sprung('domain'))",
        "SELECT 1::public.bait_domain",
    ),
    Trap(
        "check",
        "CREATE TABLE public.bait_check (id int CHECK (public.sprung('check')))",
        "INSERT INTO public.bait_check VALUES (1)",
    ),
    Trap(
        "default",
        "CREATE TABLE public.bait_default (id int, yes boolean DEFAULT public.sprung('default'))",
        "INSERT INTO public.bait_default VALUES (1)",
    ),
    Trap(
        "generated",
        "CREATE TABLE public.bait_generated"
        " (id int, yes boolean GENERATED ALWAYS AS (public.sprung_in_silence('generated')) STORED)",
        "INSERT INTO public.bait_generated VALUES (1)",
    ),
    Trap(
        "index",
        "CREATE TABLE public.bait_index (id int);"
        "CREATE INDEX bait_of_index ON public.bait_index ((public.sprung_in_silence('index')))",
        "INSERT INTO public.bait_index VALUES (1)",
    ),
    Trap(
        "trigger",
        "CREATE TABLE public.bait_trigger (id int);"
        "CREATE FUNCTION public.pull() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM public.sprung($$trigger$$); RETURN NULL; END';"
        "CREATE TRIGGER bait AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.bait_trigger"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.pull()",
        "TRUNCATE public.bait_trigger",
    ),
    Trap(
        "rule",
        "CREATE TABLE public.bait_rule (id int);"
        "CREATE RULE bait AS ON INSERT TO public.bait_rule DO INSTEAD SELECT public.sprung('rule')",
        "INSERT INTO public.bait_rule VALUES (1)",
    ),
    Trap(
        "policy",
        "CREATE TABLE public.bait_policy (id int);"
        "INSERT INTO public.bait_policy VALUES (1);"
        "ALTER TABLE public.bait_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY bait ON public.bait_policy USING (public.sprung('policy'))",
        "SELECT FROM public.bait_policy",
    ),
    Trap(
        "view",
        "CREATE VIEW public.bait_view AS SELECT public.sprung('view') AS yes",
        "SELECT yes FROM public.bait_view",
    ),
    Trap(
        "materialized view",
        "CREATE MATERIALIZED VIEW public.bait_kept AS SELECT public.sprung('materialized view') AS yes WITH NO DATA",
        "REFRESH MATERIALIZED VIEW public.bait_kept",
    ),
    Trap(
        "procedure",
        "CREATE PROCEDURE public.bait_procedure() LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM public.sprung($$procedure$$); END'",
        "CALL public.bait_procedure()",
    ),
]
"""What runs code if it is used."""

GRANTS = [
    "ALL ON ALL TABLES IN SCHEMA public",
    "ALL ON ALL SEQUENCES IN SCHEMA public",
    "ALL ON ALL ROUTINES IN SCHEMA public",
    "SELECT (id) ON public.bait_policy",
    "USAGE ON TYPE public.bait, public.bait_domain",
    "ALL ON SCHEMA public",
]

SETTINGS = {
    "search_path": '"public", "pg_catalog"',
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "backslash_quote": "on",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "sql_standard",
    "timezone": "'Asia/Kolkata'",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "client_min_messages": "debug5",
    "row_security": "off",
    "check_function_bodies": "off",
    "statement_timeout": "5000",
    "lock_timeout": "1",
    "xmloption": "document",
}
"""What the owner of a database can set for all who enter it, and what could change how a statement is read."""


def lay(run: Run) -> None:
    """Lay all traps, as the owner of the database in whose session this runs, and step into each, to see that it works.

    What they note is in `public.caught`.
    """
    run(CAUGHT)
    for trap in (*OBJECTS, *SHADOWS):
        run(trap.lay)
    run("SET search_path TO public, pg_catalog")
    for trap in (*OBJECTS, *SHADOWS):
        run(trap.step_into)
    run("RESET search_path")
    found = {name for (name,) in run("SELECT trap FROM public.caught")}
    assert found >= {trap.name for trap in (*OBJECTS, *SHADOWS)}, "the traps work"
    run("TRUNCATE public.caught")
    run("SELECT pg_catalog.lo_create(4711)")


def lead_into(run: Run, *roles: str) -> None:
    """Give roles rights on all of it, and on what will come."""
    for role in map(Identifier, roles):
        for grant in GRANTS:
            run(SQL(f"GRANT {grant} TO {{}} WITH GRANT OPTION").format(role))
        run(SQL("GRANT ALL ON LARGE OBJECT 4711 TO {}").format(role))
        run(SQL("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {}").format(role))
    run(
        SQL(
            "CREATE POLICY theirs ON public.bait_policy TO CURRENT_USER, {} USING (public.sprung('policy of some'))"
        ).format(SQL(", ").join(map(Identifier, roles)))
    )


def settle(run: Run, database: str, owner: str) -> None:
    """Set for the database what its owner can; everybody is to act as the owner there, if they may."""
    for name, value in SETTINGS.items():
        run(SQL(f"ALTER DATABASE {{}} SET {name} TO {value}").format(Identifier(database)))
    run(SQL("ALTER DATABASE {} SET role TO {}").format(Identifier(database), Identifier(owner)))


def caught(postgresql: PostgreSQLLaboratory, *databases: str) -> Iterator[tuple[object, ...]]:
    """Yield who has stepped into what."""
    for database in databases:
        with postgresql.session(database=database) as run:
            yield from run("SELECT DISTINCT who, acting_as, trap FROM public.caught")
