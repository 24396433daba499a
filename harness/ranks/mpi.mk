# The build of several processes (MPI=1): one file alone knows MPI, and is made again when MPI comes or goes.
# Included by the Makefile.

MPI =
MPI_NAME = $(if $(shell pkg-config --exists ompi-c && echo yes),ompi-c,mpich)
MPI_CFLAGS = $(if $(MPI),-DPAL_MPI $(call check_pkg,$(call pkg,--cflags $(MPI_NAME))))
MPI_LIBS = $(if $(MPI),$(call check_pkg,$(call pkg,--libs $(MPI_NAME))))

$(BUILD)/mpi-flags: FORCE
	$(call stamp,$(MPI_CFLAGS))
$(BUILD)/harness/ranks/ranks.o: private ALL_CFLAGS += $(MPI_CFLAGS)
$(BUILD)/harness/ranks/ranks.o: $(BUILD)/mpi-flags
