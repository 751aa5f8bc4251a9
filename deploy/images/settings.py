"""What an operator can say about how images are built (`IMAGES_…`). Nothing here is read when tasks run."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class ImageSettings(BaseSettings):
    """Where the parts of the images come from."""

    model_config = SettingsConfigDict(env_prefix="IMAGES_", frozen=True)

    base_image: str = ""
    """An image to stand on, for operators with a registry. Empty: Debian, put together from its packages."""
    debian_suite: str = "bookworm"
    debian_mirror: str = "http://deb.debian.org/debian"
    debian_security_mirror: str = "http://deb.debian.org/debian-security"
    """Empty: no security updates are added to what the suite holds."""
