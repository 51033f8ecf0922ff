"""A cluster on machines that SSH reaches, from a file that names them."""

from cluster.ssh.hosts import Host, parse_hosts

__all__ = ["Host", "parse_hosts"]
