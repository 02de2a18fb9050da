// A ring of glass and metal beads that turns once while `clock` goes from 0 to 1, so that the frames make a loop.
#version 3.7;
global_settings { assumed_gamma 1.0 max_trace_level 6 }

#declare BEADS = 12;

camera { location <0, 3.1, -6.4> look_at <0, 0.75, 0> angle 42 }
light_source { <-6, 9, -7> rgb <1.0, 0.96, 0.88> }
light_source { <7, 5, -3> rgb <0.22, 0.28, 0.38> shadowless }
sky_sphere { pigment { gradient y color_map { [0.0 rgb <0.80, 0.86, 0.90>] [0.6 rgb <0.24, 0.42, 0.62>] } } }

plane {
  y, 0
  pigment { checker rgb <0.90, 0.89, 0.85> rgb <0.32, 0.48, 0.44> }
  finish { diffuse 0.8 reflection 0.08 }
}

#declare Metal = texture {
  pigment { rgb <0.93, 0.66, 0.30> }
  finish { diffuse 0.45 specular 0.7 roughness 0.02 metallic reflection { 0.28 metallic } }
}
#declare Enamel = texture {
  pigment { rgb <0.10, 0.42, 0.33> }
  finish { diffuse 0.75 specular 0.5 roughness 0.01 reflection 0.06 }
}

union {
  #for (I, 0, BEADS - 1)
    sphere {
      <2, 0.42 + 0.75 * pow(sin(pi * (2 * clock + I / BEADS)), 2), 0>, 0.42
      #if (mod(I, 2)) texture { Metal } #else texture { Enamel } #end
      rotate y * 360 * I / BEADS
    }
  #end
  rotate y * 360 / BEADS * 2 * clock
}

sphere {
  <0, 1.05, 0>, 1.05
  pigment { rgbf <0.96, 0.99, 0.98, 0.92> }
  finish { diffuse 0.05 specular 0.9 roughness 0.005 reflection { 0.04, 0.6 fresnel } conserve_energy }
  interior { ior 1.45 }
}
