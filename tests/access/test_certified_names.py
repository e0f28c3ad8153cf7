"""Which names a client's certificate proves, in the form in which :mod:`ssl` tells of it."""

from supervisor.access.tls import certified_names

CERTIFICATE = {
    "subject": (
        (("organizationName", "admin"),),
        (("organizationalUnitName", "root"), ("commonName", "Bob")),
    ),
    "issuer": ((("commonName", "an authority"),),),
    "subjectAltName": (
        ("IP Address", "127.0.0.1"),
        ("DNS", "bob.example"),
        ("email", "bob@example"),
        ("DirName", ((("commonName", "alice"),),)),
        ("URI", "spiffe://example/bob"),
    ),
}


def test_its_common_name_comes_first_and_organisations_and_addresses_are_no_names() -> None:
    assert certified_names(CERTIFICATE) == (
        "Bob",
        "bob.example",
        "bob@example",
        "spiffe://example/bob",
    )


def test_no_certificate_has_no_names() -> None:
    assert certified_names(None) == certified_names({}) == ()
