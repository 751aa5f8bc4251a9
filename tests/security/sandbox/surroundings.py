"""What lies around a container: networks, the host's sockets, its neighbours, and keys that might lie about.

`{…}` is filled in by walls.py: things that are really there, outside.
"""

from tests.security.sandbox.probes import UNREACHABLE, Group, Probe

GROUP = Group(
    "Surroundings",
    (
        Probe(
            "the cloud's metadata",
            "credentials of the machine for whoever asks",
            {"IPv4": ("route", "169.254.169.254"), "IPv6": ("route", "fd00:ec2::254"), "container credentials": ("route", "169.254.170.2")},
            UNREACHABLE,
        ),
        Probe("any address", "takes out what was read", {"IPv4": ("route", "192.0.2.1"), "IPv6": ("route", "2001:db8::1")}, UNREACHABLE),
        Probe("name servers", "names carry data out where nothing else passes", {"resolv.conf": ("name_server",)}, UNREACHABLE),
        Probe(
            "the machine's own services",
            "what listens on the host trusts who reaches it",
            {"by the bridge": ("connect", "{host}", "{host_port}")},
            UNREACHABLE,
        ),
        Probe("other containers", "another's work", {"by the bridge": ("connect", "{neighbour}", "{neighbour_port}")}, UNREACHABLE),
        Probe(
            "the host's sockets",
            "the Docker socket is root on the machine",
            {
                "docker": ("connect_unix", "/var/run/docker.sock", "/run/docker.sock"),
                "containerd": ("connect_unix", "/run/containerd/containerd.sock"),
                "systemd, D-Bus": ("connect_unix", "/run/systemd/private", "/run/dbus/system_bus_socket"),
                "abstract": ("connect_unix", "@{abstract}"),
            },
            UNREACHABLE,
        ),
        Probe(
            "keys lying about",
            "a secret of the process that made the container, searched in every file, environment and argument that can be read",
            {"search": ("search", "{needle}")},
            UNREACHABLE,
        ),
    ),
)
