"""Files that launches are made of: uploads by their digest, images by the operator's names.

Nothing else of the supervisor is imported here, and nothing here knows of VMs.
"""
