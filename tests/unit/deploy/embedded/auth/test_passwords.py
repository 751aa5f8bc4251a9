from deploy.embedded.auth import passwords


async def test_a_password_matches_its_hash_alone() -> None:
    stored = await passwords.hash_password("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.matches("correct horse battery", stored)
    assert not await passwords.matches("Correct horse battery", stored)
    assert stored != await passwords.hash_password("correct horse battery")


async def test_where_there_is_no_account_nothing_matches() -> None:
    assert not await passwords.matches("", None)
    assert not await passwords.matches("correct horse battery", None)
