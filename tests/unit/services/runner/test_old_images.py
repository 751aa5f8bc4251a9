from services.runner.old_images import Tagged, superseded


def image(tag: str, image_id: str, created: int) -> Tagged:
    return Tagged(f"async-code/{tag}", image_id, created)


def test_two_names_of_one_image_count_once() -> None:
    images = [image("shell:current", "c", 3), image("shell:c", "c", 3), image("shell:b", "b", 2), image("shell:a", "a", 1)]
    assert superseded(images, (), 2) == ["async-code/shell:a"]
    assert superseded(images, (), 1) == ["async-code/shell:b", "async-code/shell:a"]


def test_what_is_needed_by_name_or_content_stays() -> None:
    images = [image("shell:c", "c", 3), image("shell:b", "b", 2), image("shell:a", "a", 1)]
    assert superseded(images, {"async-code/shell:b", "a"}, 1) == []


def test_others_images_are_never_named() -> None:
    assert superseded([Tagged("debian:12", "d", 1), Tagged("debian:11", "e", 0)], (), 1) == []


def test_each_agent_keeps_its_own() -> None:
    assert superseded([image("shell:a", "a", 1), image("codex:b", "b", 9), image("codex:c", "c", 8)], (), 1) == ["async-code/codex:c"]
