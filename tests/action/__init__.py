"""The composite action as workflows use it: the real action.yml, run by a real runner."""
