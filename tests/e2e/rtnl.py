# SPDX-License-Identifier: Apache-2.0
"""What ip(8) and tc(8) do and say, without starting them: a process takes longer than what is asked of it, and tells of
the namespace it is started in. Nothing is left inside but a netlink socket's death, some 13 ms."""

import errno
import os
import socket
import struct
import typing

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_GETTFILTER = 16, 17, 18, 46
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 3, 18, 1, 2, 1
TCA_KIND, TCA_OPTIONS, TCA_BPF_NAME, TCA_BPF_FLAGS, TCA_BPF_ID = 1, 2, 7, 8, 11
TCA_BPF_FLAG_ACT_DIRECT = 1
IFF_UP = 1
PARENTS = {"ingress": 0xfffffff2, "egress": 0xfffffff3}  # of clsact
_HEAD, _LINK, _FILTER = "=IHHII", "=BxHiII", "=BxxxiIII"


def _attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _text(kind, value):
    return _attribute(kind, os.fsencode(value) + b"\0")


def _attributes(data):
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3fff] = data[4:length]
        data = data[length + 3 & ~3:]
    return found


def _link(flags=0):
    return struct.pack(_LINK, socket.AF_UNSPEC, 0, 0, flags, flags)


def _error(body):
    return -struct.unpack_from("=i", body)[0]


class Filter(typing.NamedTuple):
    """One on a hook; what only bpf has is empty with others."""

    kind: str
    handle: int
    priority: int
    name: str
    direct: bool
    program: int  # its id


def _filter(answer):
    _, _, handle, _, info = struct.unpack_from(_FILTER, answer)
    attributes = _attributes(answer[20:])
    options = _attributes(attributes.get(TCA_OPTIONS, b"")) if attributes[TCA_KIND] == b"bpf\0" else {}
    return Filter(attributes[TCA_KIND].rstrip(b"\0").decode(), handle, info >> 16,
                  options.get(TCA_BPF_NAME, b"").rstrip(b"\0").decode(),
                  bool(int.from_bytes(options.get(TCA_BPF_FLAGS, b""), "little") & TCA_BPF_FLAG_ACT_DIRECT),
                  int.from_bytes(options.get(TCA_BPF_ID, b""), "little"))


class Route:
    """rtnetlink as a namespace has it: a socket that was made inside."""

    def __init__(self, ns):
        with ns.inside():
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _send(self, kind, flags, body):
        self.socket.send(struct.pack(_HEAD, 16 + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)

    def _messages(self):
        data = self.socket.recv(65536)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            yield kind, data[16:length]
            data = data[length + 3 & ~3:]

    def ask(self, kind, body, flags=0):
        """Raises OSError when it is refused."""
        self._send(kind, flags | NLM_F_ACK, body)
        answer = None
        while True:
            for told, said in self._messages():
                if told != NLMSG_ERROR:
                    answer = said
                elif _error(said):
                    raise OSError(_error(said), os.strerror(_error(said)))
                else:
                    return answer

    def dump(self, kind, body):
        self._send(kind, NLM_F_DUMP, body)
        while True:
            for told, said in self._messages():
                if told == NLMSG_DONE:
                    return
                if told == NLMSG_ERROR:
                    raise OSError(_error(said), os.strerror(_error(said)))
                yield said

    # What a test wants.

    def add_pair(self, name, peer):
        """A pair of veth devices, down."""
        data = _attribute(VETH_INFO_PEER, _link() + _text(IFLA_IFNAME, peer))
        info = _text(IFLA_INFO_KIND, "veth") + _attribute(IFLA_INFO_DATA, data)
        self.ask(RTM_NEWLINK, _link() + _text(IFLA_IFNAME, name) + _attribute(IFLA_LINKINFO, info),
                 NLM_F_CREATE | NLM_F_EXCL)

    def up(self, name):
        self.ask(RTM_NEWLINK, _link(IFF_UP) + _text(IFLA_IFNAME, name))

    def delete(self, name):
        """One that is gone with its peer is no error."""
        try:
            self.ask(RTM_DELLINK, _link() + _text(IFLA_IFNAME, name))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def index(self, name):
        return struct.unpack_from(_LINK, self.ask(RTM_GETLINK, _link() + _text(IFLA_IFNAME, name)))[2]

    def filters(self, ifindex, hook):
        """Those of a device, without the heads of priorities, which have no handle."""
        body = struct.pack(_FILTER, socket.AF_UNSPEC, ifindex, 0, PARENTS[hook], 0)
        return [found for found in map(_filter, self.dump(RTM_GETTFILTER, body)) if found.handle]
