from deploy.embedded.docker_engine import advice


def test_somebody_outside_the_group_is_told_how_to_get_in_and_what_it_means() -> None:
    text = advice("user", runs=True, allowed=False)
    assert "sudo usermod --append --groups docker user" in text
    assert "as good as root" in text


def test_an_engine_that_does_not_run_is_told_from_one_that_does_not_answer() -> None:
    assert "sudo systemctl start docker" in advice("user", runs=False, allowed=False)
    assert "sudo systemctl restart docker" in advice("user", runs=True, allowed=True)
