"""The strategies of this repository, one line each; loaded when first used."""

from bench import register

register("none", "strategies.none:Clean")
register("finetune", "strategies.finetune:Finetune")
register("mate-kd", "strategies.mate_kd:MateKD")
