"""Which other things of a database, or of the server, can there be permissions on?

They do nothing here: they have a name, an owner, and perhaps a schema
(https://learn.microsoft.com/en-us/sql/relational-databases/system-catalog-views/sys-database-permissions-transact-sql,
…/sys-server-permissions-transact-sql, …/t-sql/statements/grant-transact-sql).
"""

from dataclasses import dataclass

from tests.local.stand_ins.sqlserver.tsql import Tokens


@dataclass(frozen=True)
class Thing:
    """A class of permissions."""

    class_id: int
    keyword: str
    view: str
    key: str
    has_schema: bool = False


THINGS = {
    thing.class_id: thing
    for thing in (
        Thing(5, "ASSEMBLY", "assemblies", "assembly_id"),
        Thing(6, "TYPE", "types", "user_type_id", has_schema=True),
        Thing(10, "XML SCHEMA COLLECTION", "xml_schema_collections", "xml_collection_id", has_schema=True),
        Thing(15, "MESSAGE TYPE", "service_message_types", "message_type_id"),
        Thing(16, "CONTRACT", "service_contracts", "service_contract_id"),
        Thing(17, "SERVICE", "services", "service_id"),
        Thing(18, "REMOTE SERVICE BINDING", "remote_service_bindings", "remote_service_binding_id"),
        Thing(19, "ROUTE", "routes", "route_id"),
        Thing(23, "FULLTEXT CATALOG", "fulltext_catalogs", "fulltext_catalog_id"),
        Thing(24, "SYMMETRIC KEY", "symmetric_keys", "symmetric_key_id"),
        Thing(25, "CERTIFICATE", "certificates", "certificate_id"),
        Thing(26, "ASYMMETRIC KEY", "asymmetric_keys", "asymmetric_key_id"),
        Thing(29, "FULLTEXT STOPLIST", "fulltext_stoplists", "stoplist_id"),
        Thing(31, "SEARCH PROPERTY LIST", "registered_search_property_lists", "property_list_id"),
        Thing(32, "DATABASE SCOPED CREDENTIAL", "database_scoped_credentials", "credential_id"),
        Thing(34, "EXTERNAL LANGUAGE", "external_languages", "external_language_id"),
        Thing(105, "ENDPOINT", "endpoints", "endpoint_id"),
    )
}
DATABASE_SCOPED_CREDENTIAL, ENDPOINT = 32, 105
"""Endpoints are of the server. Everything else is in a database."""

TABLES = "".join(
    f"CREATE TABLE {thing.view} (db TEXT, {thing.key} INTEGER, name TEXT COLLATE NOCASE, principal_id INTEGER"
    f"{', schema_id INTEGER' if thing.has_schema else ''});"
    for thing in THINGS.values()
)
VIEWS = {thing.view: "db = current_database() AND sees_definitions()" for thing in THINGS.values()}
VIEWS[THINGS[ENDPOINT].view] = "sees_server_principal(-1)"


def thing_named(tokens: Tokens, *end: str) -> Thing | None:
    """Return the class whose keyword, and then `end`, comes next; None if something else comes."""
    return next((thing for thing in THINGS.values() if tokens.took(*thing.keyword.split(), *end)), None)
