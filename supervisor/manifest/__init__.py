"""Manifests as people write them: TOML or JSON in, :class:`supervisor.vm.spec.Manifest` out.

Two steps, so that nothing is uploaded before everything is known to be right:

1. :func:`load` reads the file and returns a :class:`Draft`, which still names local files;
2. :func:`prepare` reads those files and returns the manifest that the daemon takes, which names
   digests only, and the list of files to upload.

Both raise :class:`ManifestInvalid`, which names every wrong field that was found.
"""

from supervisor.manifest.files import Upload
from supervisor.manifest.preparing import Prepared, local_files, prepare
from supervisor.manifest.reading import ManifestInvalid, load
from supervisor.manifest.schema import Draft

__all__ = ["Draft", "ManifestInvalid", "Prepared", "Upload", "load", "local_files", "prepare"]
