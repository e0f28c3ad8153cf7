"""What the Cocos manager was asked, in our words: its computations and its machines -> manifests.

Everything here is pure. The ways in are ``POST /run`` (:mod:`supervisor.http_api.run`) and the gRPC
service (:mod:`supervisor.api.cocos_service`); docs/cocos.md says what is taken over, and what not.
"""
