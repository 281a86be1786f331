"""Zoo's main job from end to end: data, teacher, student, distillation, conversion, INT8, approval, pull, audit."""
