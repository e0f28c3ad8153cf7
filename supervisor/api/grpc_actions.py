"""Which action each gRPC call is, for the table of roles. A call that is not here is no call."""

from collections.abc import Mapping

from supervisor.access.roles import Action

_SUPERVISOR = "/chronovisor.v1.Supervisor/"
_MANAGER = "/manager.ManagerService/"

ACTIONS: Mapping[str, Action] = {
    f"{_SUPERVISOR}UploadArtifact": Action.UPLOAD,
    f"{_SUPERVISOR}SubmitComputation": Action.SUBMIT,
    f"{_SUPERVISOR}GetVm": Action.GET_VM,
    f"{_SUPERVISOR}ListVms": Action.LIST_VMS,
    f"{_SUPERVISOR}StartVm": Action.START,
    f"{_SUPERVISOR}StopVm": Action.STOP,
    f"{_SUPERVISOR}KillVm": Action.KILL,
    f"{_SUPERVISOR}DeleteVm": Action.DELETE,
    f"{_SUPERVISOR}PauseVm": Action.PAUSE,
    f"{_SUPERVISOR}ResumeVm": Action.RESUME,
    f"{_SUPERVISOR}ResetVm": Action.RESET,
    f"{_SUPERVISOR}GetPlatform": Action.GET_PLATFORM,
    f"{_SUPERVISOR}ProvideSession": Action.PROVIDE_SESSION,
    f"{_SUPERVISOR}ProvideInput": Action.PROVIDE_INPUT,
    f"{_SUPERVISOR}InjectLaunchSecret": Action.RELEASE_LAUNCH,
    f"{_SUPERVISOR}ApproveLaunch": Action.RELEASE_LAUNCH,
    f"{_SUPERVISOR}RejectLaunch": Action.RELEASE_LAUNCH,
    f"{_SUPERVISOR}GetAttestationReport": Action.GET_REPORT,
    f"{_SUPERVISOR}WatchEvents": Action.WATCH_EVENTS,
    f"{_SUPERVISOR}GetLog": Action.GET_LOG,
    f"{_SUPERVISOR}FetchResult": Action.FETCH_RESULT,
    f"{_SUPERVISOR}FetchConsole": Action.FETCH_CONSOLE,
    f"{_SUPERVISOR}FetchTranscript": Action.FETCH_TRANSCRIPT,
    f"{_MANAGER}CreateVm": Action.SUBMIT,
    f"{_MANAGER}RemoveVm": Action.DELETE,
    f"{_MANAGER}CVMInfo": Action.GET_VM,
    f"{_MANAGER}AttestationPolicy": Action.GET_VM,
    "/grpc.health.v1.Health/Check": Action.PROBE,
    "/grpc.health.v1.Health/Watch": Action.PROBE,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Action.DESCRIBE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Action.DESCRIBE,
}


def action_of(path: str) -> Action:
    """Return what a call is; of one that nobody serves, DESCRIBE: it is told that it is none."""
    return ACTIONS.get(path, Action.DESCRIBE)
