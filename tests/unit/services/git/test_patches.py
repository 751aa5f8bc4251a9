from services.git import patches
from services.git.protected import Touched

A, B = "a" * 40, "b" * 40


def test_records_with_renames_and_any_name() -> None:
    raw = (
        f":100644 100644 {A} {B} M\0x\ny\0:100644 100755 {A} {B} R090\0old\0new\0:000000 120000 {'0' * 40} {B} A\0:odd\0"
        "3\t1\tx\ny\0" "1\t0\t\0old\0new\0" "-\t-\t:odd\0"
    ).encode()  # fmt: skip
    first, second, third = patches.records(raw)
    assert (first.status, first.touched.path, first.additions, first.deletions) == ("M", b"x\ny", 3, 1)
    assert second.touched == Touched(b"old", b"new", b"100644", b"100755")
    assert (third.touched.path, third.additions) == (b":odd", None)


def test_hunks_are_counted_so_that_content_cannot_pose_as_a_header() -> None:
    patch = (
        b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@ fn\n"
        b" diff --git a/y b/y\n-@@ -1 +1 @@\n+Binary files a and b differ\n"
        b"+end\n\\ No newline at end of file\ndiff --git a/z b/z\nBinary files a/z and b/z differ\n"
    )
    first, second = list(patches.sections(patch))
    assert [line[:1] for line in first.hunks[0].lines] == [b" ", b"-", b"+", b"+", b"\\"]
    assert (first.binary, second.binary) == (False, True)
    assert (first.hunks[0].old_start, first.hunks[0].old_lines, first.hunks[0].new_lines) == (1, 2, 3)


def test_a_carriage_return_belongs_to_its_line() -> None:
    patch = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\x0bc\x0c\r\n"
    (section,) = patches.sections(patch)
    assert section.hunks[0].lines == [b"-a\r", b"+b\x0bc\x0c\r"]


def test_of_a_truncated_patch_the_last_file_is_left_out() -> None:
    patch = b"diff --git a/x b/x\n@@ -0,0 +1 @@\n+a\ndiff --git a/y b/y\n@@ -0,0 +1,2 @@\n+a\n+"
    assert len(list(patches.sections(patch, truncated=True))) == 1
    assert len(list(patches.sections(patch))) == 2
