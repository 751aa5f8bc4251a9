"""Kinds of sockets: each opens code in the kernel, and some lead past the network namespace. Numbers: linux/socket.h, linux/netlink.h."""

from tests.security.sandbox.probes import OPEN, Group, Probe

_STREAM, _DATAGRAM, _RAW, _SEQUENCED = 1, 2, 3, 5
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16


def _socket(family: int, kind: int, protocol: int = 0) -> tuple[str, int, int, int]:
    return ("make_socket", family, kind, protocol)


GROUP = Group(
    "Sockets",
    (
        Probe("vsock", "not in any namespace: the hypervisor is behind it", {"AF_VSOCK": _socket(40, _STREAM)}),
        Probe("packets", "reads and forges what passes a network", {"AF_PACKET": _socket(17, _RAW), "AF_XDP": _socket(44, _RAW)}),
        Probe("kernel cryptography", "a line of holes in rare code", {"AF_ALG": _socket(38, _SEQUENCED), "AF_KEY": _socket(15, _RAW, 2)}),
        Probe(
            "raw and ping sockets",
            "forged packets; needs no network, only its code",
            {
                "raw": _socket(_INET, _RAW, 1),
                "raw IPv6": _socket(_INET6, _RAW, 58),
                "ping": _socket(_INET, _DATAGRAM, 1),
                "ping IPv6": _socket(_INET6, _DATAGRAM, 58),
            },
        ),
        Probe(
            "rare transports",
            "protocols that nobody here speaks",
            {
                "SCTP": _socket(_INET, _STREAM, 132),
                "DCCP": _socket(_INET, 6, 33),
                "MPTCP": _socket(_INET, _STREAM, 262),
                "UDP-Lite": _socket(_INET, _DATAGRAM, 136),
                "L2TP": _socket(_INET, _DATAGRAM, 115),
            },
        ),
        Probe(
            "rare families",
            "the kernel loads a module for whoever asks",
            {
                "AF_BLUETOOTH": _socket(31, _RAW),
                "AF_CAN": _socket(29, _RAW, 1),
                "AF_TIPC": _socket(30, _SEQUENCED),
                "AF_RDS": _socket(21, _SEQUENCED),
                "AF_SMC": _socket(43, _STREAM),
                "AF_NFC": _socket(39, _RAW),
                "AF_X25": _socket(9, _SEQUENCED),
                "AF_QIPCRTR": _socket(42, _DATAGRAM),
                "AF_MCTP": _socket(45, _DATAGRAM),
                "AF_PPPOX": _socket(24, _STREAM),
                "AF_LLC": _socket(26, _STREAM),
                "AF_APPLETALK": _socket(5, _DATAGRAM),
            },
        ),
        Probe(
            "netlink",
            "the kernel's own settings: packet filters, audit, encryption, devices",
            {
                "NETFILTER": _socket(_NETLINK, _RAW, 12),
                "AUDIT": _socket(_NETLINK, _RAW, 9),
                "XFRM": _socket(_NETLINK, _RAW, 6),
                "SOCK_DIAG": _socket(_NETLINK, _RAW, 4),
                "KOBJECT_UEVENT": _socket(_NETLINK, _RAW, 15),
                "GENERIC": _socket(_NETLINK, _RAW, 16),
                "CONNECTOR": _socket(_NETLINK, _RAW, 11),
                "CRYPTO": _socket(_NETLINK, _RAW, 21),
                "SELINUX": _socket(_NETLINK, _RAW, 7),
            },
        ),
        Probe(
            "netlink ROUTE",
            "lists and changes interfaces and routes",
            {"ROUTE": _socket(_NETLINK, _RAW, 0)},
            frozenset({OPEN}),
            "libc's `getifaddrs` needs it. Its own network namespace has loopback alone, and it has no capability to change that",
        ),
        Probe(
            "UNIX, TCP and UDP sockets",
            "what programs talk to each other by",
            {"UNIX": _socket(_UNIX, _STREAM), "TCP": _socket(_INET, _STREAM), "UDP": _socket(_INET6, _DATAGRAM)},
            frozenset({OPEN}),
            "tests start servers on loopback. There is no other interface, and the one socket outside is the door",
        ),
    ),
)
