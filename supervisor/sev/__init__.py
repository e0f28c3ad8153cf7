"""AMD SEV as the guest's owner sees it: platforms, sessions, measurements, secrets, reports.

Functions over bytes: nothing here reads a file, a clock or a socket, except that ``snp_digest``
lets its library open the images, and ``new_session`` and ``seal`` draw random numbers. Nothing here
knows the daemon, so an owner can use it on a machine of their own. Whatever is refused raises a
:class:`~supervisor.sev.errors.SevRefused` with one sentence that says what is wrong.

Sources: AMD's SEV API specification, 55766, and SEV-SNP ABI specification, 56860 (each format names
its chapter or appendix), and what OVMF and QEMU say of their tables of GUIDs.
"""
